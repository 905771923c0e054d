import { Flaw } from './flaw.js'
import {
  PickleGlobal,
  PickleObject,
  type PickleValue,
  PyBytes,
  PyDict,
  type PyList,
  PySet,
  PyTuple,
  textOf,
} from './values.js'

/** As deep as Python itself can pickle. */
const deepest = 500

/**
 * What a pickle built, in JavaScript's own containers: null-prototype objects, or a Map where not all keys are strings; arrays
 * for lists and tuples; Set; Uint8Array for bytes; names as strings. What the pickle shares is shared. Refused are
 * containers that hold themselves, nesting beyond 500, and sharing that would be more than `most` values written out.
 */
export function thaw(root: PickleValue, most: number, plain: (object: PickleObject) => unknown): unknown {
  let total = 0

  // Adds to the total what the value weighs.
  function visit(value: PickleValue, depth: number): unknown {
    if (typeof value !== 'object' || value === null || value instanceof PickleGlobal) {
      total += typeof value === 'string' ? 1 + (value.length >> 3) : 1
      return value instanceof PickleGlobal ? value.name : value
    }
    // All empty tuples are one, but their arrays belong to the caller.
    if (value instanceof PyTuple && value.items.length === 0) {
      total++
      return []
    }
    if (value.weight < 0) throw new Flaw('containers that do not hold themselves', 'a cycle')
    if (value.weight === 0) {
      if (depth > deepest) throw new Flaw(`at most ${deepest} containers inside each other`, 'more')
      value.weight = -1
      const before = total
      total = 1
      value.thawed = convert(value, depth + 1)
      if (total > most)
        throw new Flaw(
          `at most ${most} values`,
          'containers that share each other and would be more, written out',
        )
      value.weight = total
      total = before
    }
    total += value.weight
    return value.thawed
  }

  function convert(
    value: PyBytes | PyTuple | PyList | PyDict | PySet | PickleObject,
    depth: number,
  ): unknown {
    if (value instanceof PickleObject) return plain(value)
    if (value instanceof PyBytes) {
      total += value.length >> 3
      return value.kind === 'str' ? textOf(value) : value.bytes.slice()
    }
    if (value instanceof PyDict) return dictionary(value, depth)
    if (value instanceof PySet) return new Set(Array.from(value.items, item => visit(item, depth)))
    // In place: there may be millions.
    const items = value.items as unknown[]
    for (let i = 0; i < items.length; i++) items[i] = visit(items[i] as PickleValue, depth)
    return items
  }

  function dictionary({ entries }: PyDict, depth: number): unknown {
    const keys = Array.from(entries.keys(), key => visit(key, depth))
    const values = Array.from(entries.values(), value => visit(value, depth))
    if (!keys.every(key => typeof key === 'string')) return new Map(keys.map((key, i) => [key, values[i]]))
    const object: Record<string, unknown> = Object.create(null)
    keys.forEach((key, i) => {
      object[key as string] = values[i]
    })
    return object
  }

  return visit(root, 0)
}

/** Bound on what a pickle's sharing may come to, written out: far above what names that repeat need. */
export function mostOf(bytes: number): number {
  return Math.max(2 ** 24, 64 * bytes)
}
