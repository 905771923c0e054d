// Finds where numbers stop being finite: only ever run after something went wrong.
import { tf } from '@vq/core'
import type { Module, NamedTensor } from '@vq/core/nn'
import type { Values } from '../data/dataset.js'
import type { Batch } from '../data/loader.js'

/** The module where it begins. */
export interface BrokenModule {
  /** Dotted name; '' is the model itself. */
  name: string
  /** Its class. */
  type: string
  /** Whether what went into it was finite; else it begins before it, between modules. */
  inputFinite: boolean
  /** Whether it refused its input instead of giving an output. */
  threw: boolean
}

type Forward = (...args: unknown[]) => unknown

/**
 * Runs `forward` once with every module's `forward` watched, and tells which was the first whose output was not finite;
 * undefined where all were. What the forward throws ends the search.
 */
export function firstBrokenModule(model: Module, forward: () => unknown): BrokenModule | undefined {
  let found: BrokenModule | undefined
  const watched: Module[] = []
  for (const [name, module] of model.namedModules()) {
    const { forward } = module as unknown as { forward?: Forward }
    if (typeof forward !== 'function' || Object.hasOwn(module, 'forward')) continue
    const type = module.constructor.name
    const watch: Forward = (...args) => {
      const inputFinite = found !== undefined || allFinite(args)
      let output: unknown
      try {
        output = forward.apply(module, args)
      } catch (error) {
        // What was handed finite numbers may refuse them for reasons of its own.
        if (!inputFinite) found ??= { name, type, inputFinite, threw: true }
        throw error
      }
      if (found === undefined && !allFinite(output)) found = { name, type, inputFinite, threw: false }
      return output
    }
    Object.defineProperty(module, 'forward', { value: watch, configurable: true, writable: true })
    watched.push(module)
  }
  try {
    tf.tidy(() => {
      forward()
    })
  } catch {
    // It failed before as well; what was found until then is the answer.
  } finally {
    for (const module of watched) Reflect.deleteProperty(module, 'forward')
  }
  return found
}

// Whether every float tensor in a value, or in the list or record that it is, is finite.
function allFinite(value: unknown): boolean {
  if (value instanceof tf.Tensor) return value.dtype !== 'float32' || !broken(value.dataSync())
  if (Array.isArray(value)) return value.every(allFinite)
  const plain =
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  return !plain || Object.values(value as object).every(allFinite)
}

/** Whether there is a NaN or an infinity. */
export function broken(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return true
  return false
}

/** The name of the first tensor that holds a NaN or an infinity. */
export function firstBroken(tensors: readonly NamedTensor[]): string | undefined {
  return tensors.find(({ variable }) => variable.dtype === 'float32' && broken(variable.dataSync()))?.name
}

/** The first sample of a batch with a NaN or an infinity among its values or extras: `field` is 'values' or an extra's name. */
export function firstBrokenSample({ values, indices, extras }: Batch<Values>): BrokenSample | undefined {
  for (const [field, data] of [['values', values] as const, ...fieldsOf(extras)]) {
    if (!(data instanceof Float32Array)) continue
    const at = data.findIndex(v => !Number.isFinite(v))
    if (at >= 0) return { field, sample: indices[Math.floor(at / (data.length / indices.length))] }
  }
  return undefined
}

export interface BrokenSample {
  field: string
  /** Its number in the data set. */
  sample: number
}

function fieldsOf(extras: Batch['extras']): (readonly [string, Values])[] {
  return Object.entries(extras ?? {}).map(([name, { values }]) => [name, values] as const)
}
