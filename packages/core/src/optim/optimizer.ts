import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectNumber, expectShape } from '../check.js'
import { VqFormatError } from '../errors.js'
import { isFloat, type StateDict } from '../io/stored-tensor.js'
import { diskShape, fromDisk, toDisk } from '../nn/layout.js'
import { Module, type NamedTensor } from '../nn/module.js'
import { fromTorchState } from './torch-state.js'

export interface StepOptions {
  /** For this step and after it; groups with a rate of their own keep their ratio to it. */
  learningRate?: number
  /** Multiplies every gradient first; clipping gives it. Default 1. */
  gradientScale?: number
}

/** Parameters with options of their own; what is not given is the optimizer's. */
export type ParameterGroup<Options> = Partial<Options> & {
  /** Those of a module, or chosen from `module.namedParameters()`. */
  parameters: Module | readonly NamedTensor[]
  /** Put before the names in the state, `<name>.<parameter>`: needed where two modules have parameters of one name. */
  name?: string
}

/** A module, or groups of parameters with options of their own. */
export type Trainable<Options> = Module | readonly ParameterGroup<Options>[]

interface Group<Settings> {
  settings: Settings
  /** The group's learning rate over the optimizer's. */
  ratio: number
  /** Positions in the list of all parameters. */
  members: number[]
}

/**
 * Moves parameters against their gradients. The state is PyTorch's: per parameter `step.<parameter>`, the number of steps
 * in which it had a gradient, and `<state>.<parameter>`, in PyTorch's layouts.
 */
export abstract class Optimizer<Settings extends { learningRate: number } = { learningRate: number }> {
  learningRate: number
  /** Steps taken. */
  steps = 0
  /** All parameters, group by group; frozen ones are skipped at each step. */
  protected readonly named: NamedTensor[] = []
  protected readonly groups: Group<Settings>[] = []
  // Per parameter, steps in which it had a gradient.
  private readonly counts: number[]
  private readonly states: Record<string, tf.Variable[]> = {}

  /** `settle` checks options and fills in what is left out. */
  constructor(
    trainable: Trainable<Partial<Settings>>,
    options: Partial<Settings>,
    settle: (options: Partial<Settings>) => Settings,
  ) {
    const whole = settle(options)
    this.learningRate = whole.learningRate
    const groups = trainable instanceof Module ? [{ parameters: trainable }] : trainable
    for (const { parameters, name, ...own } of groups as ParameterGroup<Partial<Settings>>[]) {
      const settings = settle({ ...options, ...own } as Partial<Settings>)
      const members = namedOf(parameters, name).map(p => this.named.push(p) - 1)
      this.groups.push({ settings, ratio: this.ratioOf(settings.learningRate), members })
    }
    this.counts = this.named.map(() => 0)
    const operation = this.constructor.name
    expectConfig(
      this.named.length > 0,
      operation,
      'at least one parameter',
      this.named,
      'Pass a module that has some.',
    )
    this.expectDistinct(
      this.named.map(p => p.name),
      'Give each group a name.',
    )
    this.expectDistinct(
      this.named.map(p => p.variable),
      'Put each parameter into one group.',
    )
  }

  private ratioOf(rate: number): number {
    if (rate === this.learningRate) return 1
    expectNumber(
      this.constructor.name,
      'learningRate, of which groups keep a ratio,',
      this.learningRate,
      1e-30,
      1e30,
    )
    return rate / this.learningRate
  }

  private expectDistinct(list: readonly unknown[], remedy: string): void {
    const twice = list.findIndex((x, i) => list.indexOf(x) !== i)
    const received = twice < 0 ? '' : this.named[twice].name
    expectConfig(twice < 0, this.constructor.name, 'no parameter and no name of one twice', received, remedy)
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
    for (const { settings, ratio, members } of this.groups) {
      const now = { ...settings, learningRate: this.learningRate * ratio }
      // Those that were left out of earlier steps are at another count.
      const byCount = new Map<number, number[]>()
      for (const i of members) {
        if (gradients[i] === null || !this.named[i].variable.trainable) continue
        const count = ++this.counts[i]
        const same = byCount.get(count)
        if (same === undefined) byCount.set(count, [i])
        else same.push(i)
      }
      for (const [count, at] of byCount) this.apply(now, at, gradients as tf.Tensor[], gradientScale, count)
    }
  }

  /** Moves the parameters at positions `at`, all of which have a gradient, for the `count`th time. */
  protected abstract apply(
    settings: Settings,
    at: readonly number[],
    gradients: readonly tf.Tensor[],
    gradientScale: number,
    count: number,
  ): void

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
    for (const [i, { name }] of this.named.entries())
      dict[`step.${name}`] = { dtype: 'F32', shape: [], data: Float32Array.of(this.counts[i]) }
    for (const [state, tensors] of Object.entries(this.states))
      for (const [i, { name, layout }] of this.named.entries()) {
        const { shape } = tensors[i]
        const data = toDisk(tensors[i].dataSync() as Float32Array, shape, layout)
        dict[`${state}.${name}`] = { dtype: 'F32', shape: diskShape(shape, layout), data }
      }
    return dict
  }

  /** Takes a state of the same optimizer over the same parameters; throws VqFormatError naming what does not fit. */
  loadStateDict(dict: Readonly<StateDict>): void {
    const expected = [
      'step',
      ...['step', ...Object.keys(this.states)].flatMap(s => this.named.map(p => `${s}.${p.name}`)),
    ]
    const problems = [
      ...expected.filter(name => dict[name] === undefined).map(name => `missing '${name}'`),
      ...Object.keys(dict)
        .filter(name => !expected.includes(name))
        .map(name => `unexpected '${name}'`),
      ...this.misfits(dict),
    ]
    if (problems.length > 0)
      throw new VqFormatError({
        operation: `${this.constructor.name}.loadStateDict`,
        expected: 'the state of this optimizer over these parameters',
        received: problems.slice(0, 20).join('; '),
        remedy: 'Use the optimizer and the model that the state was saved with.',
      })
    this.steps = Number(dict.step.data[0])
    for (const [i, { name }] of this.named.entries()) this.counts[i] = Number(dict[`step.${name}`].data[0])
    for (const [state, tensors] of Object.entries(this.states))
      for (const [i, { name, variable, layout }] of this.named.entries()) {
        const values = new Float32Array(dict[`${state}.${name}`].data as Float64Array)
        const ordered = fromDisk(values, variable.shape, layout)
        tf.tidy(() => tensors[i].assign(tf.tensor(ordered, variable.shape)))
      }
  }

  private misfits(dict: Readonly<StateDict>): string[] {
    const problems: string[] = []
    const count = (name: string): void => {
      const { shape, data } = dict[name] ?? { shape: [], data: [0] }
      const value = Number(data[0])
      if (shape.length > 0 || !Number.isSafeInteger(value) || value < 0)
        problems.push(`'${name}' is no number of steps`)
    }
    for (const name of ['', ...this.named.map(p => `.${p.name}`)]) count(`step${name}`)
    for (const state of Object.keys(this.states))
      for (const { name, variable, layout } of this.named) {
        const stored = dict[`${state}.${name}`]
        const wanted = diskShape(variable.shape, layout)
        if (stored !== undefined && !(isFloat(stored.dtype) && tf.util.arraysEqual(stored.shape, wanted)))
          problems.push(`'${state}.${name}' is ${stored.dtype} [${stored.shape}] instead of F32 [${wanted}]`)
      }
    return problems
  }

  /**
   * Takes the `state_dict()` of PyTorch's optimizer of the same kind over the same parameters in the same order, as
   * `loadTorchCheckpoint` reads it: moments and numbers of steps; options stay as they are.
   * Throws VqFormatError where it does not fit.
   */
  loadTorchState(state: unknown): void {
    const names = this.named.map(p => p.name)
    const layouts = this.named.map(({ variable, layout }) => diskShape(variable.shape, layout))
    this.loadStateDict(
      fromTorchState(
        `${this.constructor.name}.loadTorchState`,
        state,
        names,
        layouts,
        Object.keys(this.states),
      ),
    )
  }

  dispose(): void {
    for (const tensors of Object.values(this.states)) tf.dispose(tensors)
  }
}

function namedOf(parameters: Module | readonly NamedTensor[], prefix?: string): NamedTensor[] {
  const list = parameters instanceof Module ? parameters.namedParameters() : parameters
  return list.map(p => (prefix === undefined ? p : { ...p, name: `${prefix}.${p.name}` }))
}
