import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { expectConfig } from '../check.js'
import { VqFormatError } from '../errors.js'
import {
  elementsPerValue,
  isFloat,
  type StateDict,
  type StoredTensor,
  type TensorEntry,
} from '../io/stored-tensor.js'
import { diskShape, fromDisk, type Layout, type Values } from './layout.js'

/** A whole number that a module keeps beside its tensors, an I64 scalar on disk (as PyTorch's num_batches_tracked). */
export interface Counter {
  value: number
}

/** A tensor of a module. */
export interface Slot {
  kind: 'parameter' | 'buffer'
  variable: tf.Variable
  layout: Layout | undefined
}

export interface LoadOptions {
  /** Whether every name must be there, and no other. Default true. */
  strict?: boolean
}

export interface LoadResult {
  /** Names of the module that the state lacks: they stay as they were. */
  missing: string[]
  /** Names of the state that the module lacks. */
  unexpected: string[]
}

/** Checks everything, then sets everything. */
export function loadState(
  module: string,
  named: readonly [string, Slot | Counter][],
  state: Readonly<StateDict>,
  strict: boolean,
): LoadResult {
  expectConfig(
    typeof state === 'object' && state !== null,
    `loadStateDict into ${module}`,
    'a state dictionary',
    state,
    'Pass what stateDict() gave.',
  )
  const slots = new Map(named)
  const given = named.filter(([name]) => Object.hasOwn(state, name) && state[name] !== undefined)
  const held = new Set(given.map(([, slot]) => identity(slot)))
  const missing = named.filter(([, slot]) => !held.has(identity(slot))).map(([name]) => name)
  const unexpected = Object.keys(state).filter(name => !slots.has(name))
  const problems = strict
    ? [...missing.map(name => `missing '${name}'`), ...unexpected.map(name => `unexpected '${name}'`)]
    : []
  const misfits = given.map(([name, slot]) => [name, misfit(slot, state[name])])
  problems.push(
    ...misfits.filter(([, what]) => what !== undefined).map(([name, what]) => `'${name}' ${what}`),
  )
  if (problems.length === 0) problems.push(...disagreements(given, state))
  if (problems.length > 0)
    throw new VqFormatError({
      operation: `${module}.loadStateDict`,
      expected: `the ${slots.size} entries of this module`,
      received: problems.slice(0, 20).join('; ') + (problems.length > 20 ? '; …' : ''),
      remedy: 'Build the module with the options that the weights were made with, or rename the entries.',
    })
  for (const [name, slot] of given) assign(slot, state[name])
  return { missing, unexpected }
}

/** What two names stand for where they are tied. */
export function identity(slot: Slot | Counter): unknown {
  return 'variable' in slot ? slot.variable : slot
}

/** Names of one tensor under which the state holds different values. */
function disagreements(given: readonly [string, Slot | Counter][], state: Readonly<StateDict>): string[] {
  const first = new Map<unknown, [string, Slot | Counter]>()
  return given.flatMap(([name, slot]) => {
    const before = first.get(identity(slot))
    first.set(identity(slot), before ?? [name, slot])
    if (before === undefined) return []
    const one = valuesFor(before[1], state[before[0]])
    const other = valuesFor(slot, state[name])
    return one.every((v, i) => Object.is(v, other[i]))
      ? []
      : [`'${name}' differs from '${before[0]}', with which it is tied`]
  })
}

function misfit(slot: Slot | Counter, stored: StoredTensor): string | undefined {
  return entryMisfit(slot, stored) ?? valuesMisfit(slot, stored)
}

/** How type or shape do not fit. */
export function entryMisfit(slot: Slot | Counter, { dtype, shape }: TensorEntry): string | undefined {
  const wanted = wantedShape(slot)
  if (shape.length !== wanted.length || shape.some((d, i) => d !== wanted[i]))
    return `has shape [${shape.slice(0, 20)}${shape.length > 20 ? ',…' : ''}] instead of [${wanted}]`
  if (isFloat(dtype) === isWhole(slot) || elementsPerValue(dtype) > 1)
    return `is ${dtype} instead of ${isWhole(slot) ? 'I64 or another type of integers' : 'F32 or another type of floats'}`
  return undefined
}

/** How the values do not fit, where type and shape do. */
export function valuesMisfit(slot: Slot | Counter, { data }: StoredTensor): string | undefined {
  if (data.length !== sizeOf(wantedShape(slot))) return `holds ${data.length} values`
  if (!isWhole(slot)) return undefined
  const most = 'variable' in slot ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER
  const bad = data.find((v: number | bigint) => Math.abs(Number(v)) > most)
  return bad === undefined ? undefined : `holds ${bad}, which is too large`
}

function wantedShape(slot: Slot | Counter): number[] {
  return 'variable' in slot ? diskShape(slot.variable.shape, slot.layout) : []
}

/** Whether it holds whole numbers. */
export function isWhole(slot: Slot | Counter): boolean {
  return !('variable' in slot) || slot.variable.dtype === 'int32'
}

/** In memory's order; a copy, because some backends keep the array that a tensor was made from. */
function valuesFor(slot: Slot | Counter, { data }: StoredTensor): Values | Float64Array {
  if (!('variable' in slot)) return Float64Array.from(data as ArrayLike<number | bigint>, Number)
  const { variable, layout } = slot
  const values =
    variable.dtype === 'int32'
      ? Int32Array.from(data as ArrayLike<number | bigint>, Number)
      : new Float32Array(data as Float64Array)
  return layout === undefined ? values : fromDisk(values, variable.shape, layout)
}

/** What a slot holds now, without a copy. `restore` puts it back; `release` lets it go. */
export function snapshot(slot: Slot | Counter): { restore(): void; release(): void } {
  if (!('variable' in slot)) {
    const { value } = slot
    return {
      restore: () => {
        slot.value = value
      },
      release: () => {},
    }
  }
  const { variable } = slot
  const before = tf.tidy(() => tf.keep(tf.clone(variable)))
  return { restore: () => variable.assign(before), release: () => before.dispose() }
}

export function assign(slot: Slot | Counter, stored: StoredTensor): void {
  const values = valuesFor(slot, stored)
  if (!('variable' in slot)) {
    slot.value = values[0]
    return
  }
  const { variable } = slot
  tf.tidy(() => variable.assign(tf.tensor(values as Values, variable.shape, variable.dtype)))
}
