import { Flaw } from './flaw.js'
import { PickleGlobal, PickleObject, type PickleValue, PyBytes, PyDict, PySet, textOf } from './values.js'

interface Thawed {
  value: unknown
  /** Values in it, were all that is shared written out, and a share of their letters. */
  weight: number
}

/** As deep as Python itself can pickle. */
const deepest = 500

/**
 * What a pickle built, in JavaScript's own containers: null-prototype objects, or a Map where not all keys are strings; arrays
 * for lists and tuples; Set; Uint8Array for bytes; names as strings. What the pickle shares is shared. Refused are
 * containers that hold themselves, nesting beyond 500, and sharing that would be more than `most` values written out.
 */
export function thaw(root: PickleValue, most: number, plain: (object: PickleObject) => unknown): unknown {
  const done = new Map<PickleValue, Thawed | undefined>()

  function visit(value: PickleValue, depth: number): Thawed {
    if (typeof value === 'string') return { value, weight: 1 + value.length / 8 }
    if (typeof value !== 'object' || value === null) return { value, weight: 1 }
    const known = done.get(value)
    if (known !== undefined) return known
    if (done.has(value)) throw new Flaw('containers that do not hold themselves', 'a cycle')
    if (depth > deepest) throw new Flaw(`at most ${deepest} containers inside each other`, 'more')
    done.set(value, undefined)
    const thawed = convert(value, depth + 1)
    if (thawed.weight > most)
      throw new Flaw(
        `at most ${most} values`,
        'containers that share each other and would be more, written out',
      )
    done.set(value, thawed)
    return thawed
  }

  function all(items: Iterable<PickleValue>, depth: number): { items: unknown[]; weight: number } {
    let weight = 1
    const plainItems: unknown[] = []
    for (const item of items) {
      const thawed = visit(item, depth)
      weight += thawed.weight
      plainItems.push(thawed.value)
    }
    return { items: plainItems, weight }
  }

  function convert(
    value: Exclude<PickleValue, null | boolean | number | bigint | string>,
    depth: number,
  ): Thawed {
    if (value instanceof PickleObject) return { value: plain(value), weight: 1 }
    if (value instanceof PickleGlobal) return { value: value.name, weight: 1 }
    if (value instanceof PyBytes) return { value: plainBytes(value), weight: 1 + value.bytes.length / 8 }
    if (value instanceof PyDict) return dictionary(value, depth)
    const { items, weight } = all(value.items, depth)
    return { value: value instanceof PySet ? new Set(items) : items, weight }
  }

  function dictionary({ entries }: PyDict, depth: number): Thawed {
    const keys = all(entries.keys(), depth)
    const values = all(entries.values(), depth)
    const weight = keys.weight + values.weight
    if (keys.items.every(key => typeof key === 'string')) {
      const object: Record<string, unknown> = Object.create(null)
      keys.items.forEach((key, i) => {
        object[key as string] = values.items[i]
      })
      return { value: object, weight }
    }
    return { value: new Map(keys.items.map((key, i) => [key, values.items[i]])), weight }
  }

  return visit(root, 0).value
}

function plainBytes(value: PyBytes): string | Uint8Array {
  return value.kind === 'str' ? textOf(value) : value.bytes.slice()
}

/** Bound on what a pickle's sharing may come to, written out: far above what names that repeat need. */
export function mostOf(bytes: number): number {
  return Math.max(2 ** 24, 64 * bytes)
}
