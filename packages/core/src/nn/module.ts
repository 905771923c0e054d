import * as tf from '@tensorflow/tfjs-core'
import { describe } from '../check.js'
import { VqConfigError } from '../errors.js'
import type { StateDict } from '../io/stored-tensor.js'
import { diskShape, type Layout, toDisk, type Values } from './layout.js'
import { type Counter, type LoadOptions, type LoadResult, loadState, type Slot } from './loading.js'

export type { Counter, LoadOptions, LoadResult } from './loading.js'

/** A tensor that a module owns, with the name and the layout it has on disk. */
export interface NamedTensor {
  name: string
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

  /**
   * Takes the tensor over: it is disposed with the module. A variable that is another module's parameter is tied instead:
   * it has both names on disk, is trained and counted once, and is disposed with whichever module goes first.
   */
  protected addParameter<R extends tf.Rank>(
    name: string,
    value: tf.Tensor<R> | tf.Variable<R>,
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

  /** A child. The same module may stand under several names; it may not stand below itself. */
  protected addModule<M extends Module>(name: string, module: M): M {
    if (!(module instanceof Module) || module.walk('').some(([, below]) => below === this))
      throw new VqConfigError({
        operation: `${this.constructor.name}: registering '${name}'`,
        expected: 'a module that this one is no part of',
        received: describe(module),
        remedy: 'Build modules as a tree.',
      })
    return this.add(name, module)
  }

  private addTensor<R extends tf.Rank>(
    name: string,
    kind: Slot['kind'],
    value: tf.Tensor<R>,
    layout?: Layout,
  ): tf.Variable<R> {
    const tied = value instanceof tf.Variable
    const variable = tied ? (value as tf.Variable<R>) : tf.variable(value, kind === 'parameter')
    if (!tied) value.dispose()
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

  /** The children by their names. */
  namedChildren(): [string, Module][] {
    return [...this.slots].filter((slot): slot is [string, Module] => slot[1] instanceof Module)
  }

  /** The module at a dotted name, such as 'encoder.0'; '' is this one. Throws VqConfigError where there is none. */
  submodule(path: string): Module {
    const found = this.walk('').find(([name]) => name === path)
    if (found !== undefined) return found[1]
    throw new VqConfigError({
      operation: `${this.constructor.name}.submodule`,
      expected: 'the dotted name of a module below this one',
      received: describe(path),
      remedy: 'namedModules() lists them.',
    })
  }

  /** This module as '' and all below it by their dotted names, each once, by its first name. */
  namedModules(prefix = ''): [string, Module][] {
    const seen = new Set<Module>()
    return this.walk(prefix).filter(([, module]) => !seen.has(module) && seen.add(module))
  }

  /** Trainable tensors, each once, by its first name. */
  namedParameters(): NamedTensor[] {
    return this.namedTensors('parameter')
  }

  /** Tensors that are saved but not trained, each once, by its first name. */
  namedBuffers(): NamedTensor[] {
    return this.namedTensors('buffer')
  }

  private namedTensors(kind: Slot['kind']): NamedTensor[] {
    const seen = new Set<tf.Variable>()
    return this.namedSlots().flatMap(([name, slot]) => {
      if (!('variable' in slot) || slot.kind !== kind || seen.has(slot.variable)) return []
      const { variable, layout } = slot
      seen.add(variable)
      return [{ name, variable, layout }]
    })
  }

  // Modules by every name they have.
  private walk(prefix: string): [string, Module][] {
    const found: [string, Module][] = [[prefix, this]]
    for (const [name, slot] of this.slots)
      if (slot instanceof Module) found.push(...slot.walk(joined(prefix, name)))
    return found
  }

  // Tensors and counters by every name they have, in the order in which they were made.
  private namedSlots(): [string, Slot | Counter][] {
    return this.walk('').flatMap(([prefix, module]) =>
      [...module.slots].flatMap(([name, slot]): [string, Slot | Counter][] =>
        slot instanceof Module ? [] : [[joined(prefix, name), slot]],
      ),
    )
  }

  /** Number of trainable values; tied ones count once. */
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
   * Sets everything from a state dictionary; nothing changes unless all of it fits. With `strict: false`, entries that are
   * missing stay as they were and those that are unexpected are passed over; both are returned. One name of a tied
   * parameter is enough.
   * Throws VqFormatError that names missing, unexpected and misshapen entries, and tied ones that differ.
   */
  loadStateDict(state: Readonly<StateDict>, { strict = true }: LoadOptions = {}): LoadResult {
    return loadState(this.constructor.name, this.namedSlots(), state, strict)
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
    for (const [, slot] of this.namedSlots())
      if ('variable' in slot && !slot.variable.isDisposed) slot.variable.dispose()
  }
}

function joined(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`
}
