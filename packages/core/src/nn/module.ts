import * as tf from '@tensorflow/tfjs-core'
import { describe } from '../check.js'
import { VqConfigError, VqFormatError } from '../errors.js'
import { elementsPerValue, isFloat, type StateDict, type StoredTensor } from '../io/stored-tensor.js'
import { diskShape, fromDisk, type Layout, toDisk, type Values } from './layout.js'

/** A tensor that a module owns, with the name and the layout it has on disk. */
export interface NamedTensor {
  name: string
  variable: tf.Variable
  layout: Layout | undefined
}

/** A whole number that a module keeps beside its tensors, an I64 scalar on disk (as PyTorch's num_batches_tracked). */
export interface Counter {
  value: number
}

interface Slot {
  kind: 'parameter' | 'buffer'
  variable: tf.Variable
  layout: Layout | undefined
}

/**
 * The base of everything that learns: named parameters, buffers and children, in the order in which they were made.
 * A subclass registers them in its constructor and adds a `forward`.
 *
 * @example
 * class Scale extends Module {
 *   readonly scale = this.addParameter('scale', tf.ones([3]))
 *   forward(x: tf.Tensor): tf.Tensor { return tf.mul(x, this.scale) }
 * }
 */
export abstract class Module {
  /** True in training, false in evaluation; `train()` and `eval()` set it for all children. */
  training = true
  /** True after `freeze()`: parameters and codebooks stay as they are. */
  frozen = false
  private readonly slots = new Map<string, Slot | Counter | Module>()

  protected addParameter<R extends tf.Rank>(
    name: string,
    value: tf.Tensor<R>,
    layout?: Layout,
  ): tf.Variable<R> {
    return this.addTensor(name, 'parameter', value, layout)
  }

  /** A tensor that is saved but that no optimiser moves. */
  protected addBuffer<R extends tf.Rank>(name: string, value: tf.Tensor<R>): tf.Variable<R> {
    return this.addTensor(name, 'buffer', value)
  }

  protected addCounter(name: string, value = 0): Counter {
    return this.add(name, { value })
  }

  protected addModule<M extends Module>(name: string, module: M): M {
    return this.add(name, module)
  }

  /** Takes the tensor over: it is disposed with the module. */
  private addTensor<R extends tf.Rank>(
    name: string,
    kind: Slot['kind'],
    value: tf.Tensor<R>,
    layout?: Layout,
  ): tf.Variable<R> {
    const variable = tf.variable(value, kind === 'parameter')
    value.dispose()
    this.add<Slot>(name, { kind, variable, layout })
    return variable
  }

  private add<T extends Slot | Counter | Module>(name: string, slot: T): T {
    if (name === '' || name.includes('.') || this.slots.has(name))
      throw new VqConfigError({
        operation: `${this.constructor.name}: registering '${name}'`,
        expected: 'a new name without a dot',
        received: describe(name),
        remedy: 'Give each parameter, buffer and child of a module its own name.',
      })
    this.slots.set(name, slot)
    return slot
  }

  train(on = true): this {
    for (const [, module] of this.namedModules()) module.training = on
    return this
  }

  eval(): this {
    return this.train(false)
  }

  /** Keeps all parameters as they are (`freeze(false)` lets them learn again). */
  freeze(on = true): this {
    for (const [, module] of this.namedModules()) module.frozen = on
    for (const { variable } of this.namedParameters()) variable.trainable = !on
    return this
  }

  /** This module as '' and all below it by their dotted names. */
  namedModules(prefix = ''): [string, Module][] {
    const found: [string, Module][] = [[prefix, this]]
    for (const [name, slot] of this.slots)
      if (slot instanceof Module) found.push(...slot.namedModules(prefix === '' ? name : `${prefix}.${name}`))
    return found
  }

  namedParameters(): NamedTensor[] {
    return this.namedTensors('parameter')
  }

  namedBuffers(): NamedTensor[] {
    return this.namedTensors('buffer')
  }

  private namedTensors(kind: Slot['kind']): NamedTensor[] {
    return this.namedSlots().flatMap(([name, slot]) =>
      'variable' in slot && slot.kind === kind
        ? [{ name, variable: slot.variable, layout: slot.layout }]
        : [],
    )
  }

  private namedSlots(): [string, Slot | Counter][] {
    return this.namedModules().flatMap(([prefix, module]) =>
      [...module.slots].flatMap(([name, slot]): [string, Slot | Counter][] =>
        slot instanceof Module ? [] : [[prefix === '' ? name : `${prefix}.${name}`, slot]],
      ),
    )
  }

  /** Number of trainable values. */
  parameterCount(): number {
    return this.namedParameters().reduce((n, { variable }) => n + variable.size, 0)
  }

  /** All parameters, buffers and counters by PyTorch's names and in PyTorch's layouts: a copy, outside of any backend. */
  stateDict(): StateDict {
    const state: StateDict = Object.create(null)
    for (const [name, slot] of this.namedSlots()) {
      if (!('variable' in slot)) {
        state[name] = { dtype: 'I64', shape: [], data: BigInt64Array.of(BigInt(slot.value)) }
        continue
      }
      const { variable, layout } = slot
      const data = toDisk(variable.dataSync() as Values, variable.shape, layout)
      const dtype = variable.dtype === 'int32' ? 'I32' : 'F32'
      state[name] = { dtype, shape: diskShape(variable.shape, layout), data }
    }
    return state
  }

  /**
   * Sets everything from a state dictionary; nothing changes unless all of it fits.
   * Throws VqFormatError that names missing, unexpected and misshapen entries.
   */
  loadStateDict(state: Readonly<StateDict>): void {
    const slots = new Map(this.namedSlots())
    const problems = [
      ...[...slots.keys()].filter(name => state[name] === undefined).map(name => `missing '${name}'`),
      ...Object.keys(state)
        .filter(name => !slots.has(name))
        .map(name => `unexpected '${name}'`),
    ]
    for (const [name, slot] of slots) {
      const problem = state[name] === undefined ? undefined : misfit(slot, state[name])
      if (problem !== undefined) problems.push(`'${name}' ${problem}`)
    }
    if (problems.length > 0)
      throw new VqFormatError({
        operation: `${this.constructor.name}.loadStateDict`,
        expected: `the ${slots.size} entries of this module`,
        received: problems.slice(0, 20).join('; ') + (problems.length > 20 ? '; …' : ''),
        remedy: 'Build the module with the options that the weights were made with, or rename the entries.',
      })
    for (const [name, slot] of slots) assign(slot, state[name])
  }

  /**
   * What a checkpoint keeps beside the state dictionary so that training continues exactly, such as the state of a
   * generator: plain JSON, or undefined for nothing. `loadExtraState` takes it back.
   */
  extraState(): unknown {
    return undefined
  }

  loadExtraState(_state: unknown): void {}

  /** Every tensor and counter of this module by name, for loaders that set one at a time (`loadWeights`). */
  slotsToLoad(): ReadonlyMap<string, Slot | Counter> {
    return new Map(this.namedSlots())
  }

  /** Frees all tensors; the module is of no use afterwards. */
  dispose(): void {
    for (const [, slot] of this.namedSlots()) if ('variable' in slot) slot.variable.dispose()
  }
}

function misfit(slot: Slot | Counter, stored: StoredTensor): string | undefined {
  const wantedShape = 'variable' in slot ? diskShape(slot.variable.shape, slot.layout) : []
  if (stored.shape.length !== wantedShape.length || stored.shape.some((d, i) => d !== wantedShape[i]))
    return `has shape [${stored.shape}] instead of [${wantedShape}]`
  const float = 'variable' in slot && slot.variable.dtype !== 'int32'
  const { dtype } = stored
  if (isFloat(dtype) !== float || elementsPerValue(dtype) > 1)
    return `is ${dtype} instead of ${float ? 'F32 or another type of floats' : 'I64 or another type of integers'}`
  if (float) return undefined
  const most = 'variable' in slot ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER
  const bad = stored.data.find((v: number | bigint) => Math.abs(Number(v)) > most)
  return bad === undefined ? undefined : `holds ${bad}, which is too large`
}

function assign(slot: Slot | Counter, { data }: StoredTensor): void {
  if (!('variable' in slot)) {
    slot.value = Number(data[0])
    return
  }
  const { variable, layout } = slot
  // A copy: some backends keep the array that a tensor was made from.
  const values =
    variable.dtype === 'int32'
      ? Int32Array.from(data as ArrayLike<number | bigint>, Number)
      : new Float32Array(data as Float64Array)
  const ordered = layout === undefined ? values : fromDisk(values, variable.shape, layout)
  tf.tidy(() => variable.assign(tf.tensor(ordered, variable.shape, variable.dtype)))
}
