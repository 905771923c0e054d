import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { VqFormatError } from '../errors.js'
import type { StateDict } from '../io/stored-tensor.js'
import { diskShape, fromDisk, toDisk } from '../nn/layout.js'
import type { Module, NamedTensor } from '../nn/module.js'

export interface StepOptions {
  /** For this step and after it. */
  learningRate?: number
  /** Multiplies every gradient first; clipping gives it. Default 1. */
  gradientScale?: number
}

/** Moves the parameters of a module. State names are `<state>.<parameter>`, layouts PyTorch's. */
export abstract class Optimizer {
  learningRate: number
  /** Steps taken. */
  steps = 0
  /** All parameters of the module; frozen ones are skipped at each step. */
  protected readonly named: NamedTensor[]
  private readonly states: Record<string, tf.Variable[]> = {}

  constructor(module: Module, learningRate: number) {
    this.named = module.namedParameters()
    this.learningRate = learningRate
  }

  /** What gradients are wanted for. */
  get parameters(): tf.Variable[] {
    return this.named.map(p => p.variable)
  }

  /** gradients: one per parameter, null where there is none. */
  step(gradients: (tf.Tensor | null)[], { learningRate, gradientScale = 1 }: StepOptions = {}): void {
    expectShape(
      gradients.length === this.named.length,
      `${this.constructor.name}.step`,
      `${this.named.length} gradients`,
      `${gradients.length}`,
      "Pass one gradient or null per entry of the optimizer's parameters.",
    )
    if (learningRate !== undefined) this.learningRate = learningRate
    this.steps++
    const moving = gradients.map((g, i) => (this.named[i].variable.trainable ? g : null))
    this.apply(this.parameters, moving, gradientScale)
  }

  protected abstract apply(parameters: tf.Variable[], gradients: (tf.Tensor | null)[], scale: number): void

  /** Zeros like each parameter, part of the state. */
  protected addState(name: string): tf.Variable[] {
    const made = this.named.map(({ variable }) => {
      const zeros = tf.zerosLike(variable)
      const state = tf.variable(zeros, false)
      zeros.dispose()
      return state
    })
    this.states[name] = made
    return made
  }

  stateDict(): StateDict {
    const dict: StateDict = Object.create(null)
    dict.step = { dtype: 'I64', shape: [], data: BigInt64Array.of(BigInt(this.steps)) }
    for (const [state, tensors] of Object.entries(this.states))
      for (const [i, { name, layout }] of this.named.entries()) {
        const { shape } = tensors[i]
        const data = toDisk(tensors[i].dataSync() as Float32Array, shape, layout)
        dict[`${state}.${name}`] = { dtype: 'F32', shape: diskShape(shape, layout), data }
      }
    return dict
  }

  /** Takes a state of the same optimizer over the same module; throws VqFormatError naming what does not fit. */
  loadStateDict(dict: Readonly<StateDict>): void {
    const expected = ['step', ...Object.keys(this.states).flatMap(s => this.named.map(p => `${s}.${p.name}`))]
    const problems = [
      ...expected.filter(name => dict[name] === undefined).map(name => `missing '${name}'`),
      ...Object.keys(dict)
        .filter(name => !expected.includes(name))
        .map(name => `unexpected '${name}'`),
    ]
    for (const state of Object.keys(this.states))
      for (const { name, variable, layout } of this.named) {
        const stored = dict[`${state}.${name}`]
        const wanted = diskShape(variable.shape, layout)
        if (stored !== undefined && (stored.dtype !== 'F32' || !tf.util.arraysEqual(stored.shape, wanted)))
          problems.push(`'${state}.${name}' is ${stored.dtype} [${stored.shape}] instead of F32 [${wanted}]`)
      }
    if (problems.length > 0)
      throw new VqFormatError({
        operation: `${this.constructor.name}.loadStateDict`,
        expected: 'the state of this optimizer over this module',
        received: problems.slice(0, 20).join('; '),
        remedy: 'Use the optimizer and the model that the state was saved with.',
      })
    this.steps = Number(dict.step.data[0])
    for (const [state, tensors] of Object.entries(this.states))
      for (const [i, { name, variable, layout }] of this.named.entries()) {
        const values = fromDisk(
          (dict[`${state}.${name}`].data as Float32Array).slice(),
          variable.shape,
          layout,
        )
        tf.tidy(() => tensors[i].assign(tf.tensor(values, variable.shape)))
      }
  }

  dispose(): void {
    for (const tensors of Object.values(this.states)) tf.dispose(tensors)
  }
}
