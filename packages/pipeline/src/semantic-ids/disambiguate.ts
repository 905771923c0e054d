import { VqValueError } from '@vq/core'
import type { SemanticId } from './record.js'

/**
 * Gives items of one embedding a last level that makes their codes unique, as TIGER does (Rajput et al. 2023, section 3.1): the first item
 * with some codes gets 0, the next one 1, and so on. With items of an earlier run, disambiguated already, an item that was there keeps
 * its number, and no new one takes a number that was given: what was assigned never changes.
 *
 * @example
 * const numbers = new Disambiguator(await readSemanticIds('yesterday.parquet'))
 * const item = numbers.next({ id: 'new.jpg', codes: [17, 4, 211] }) // codes [17, 4, 211, 1] where [17, 4, 211, 0] was given
 */
export class Disambiguator {
  /** The next number by codes. */
  private readonly free = new Map<string, number>()
  /** By id. */
  private readonly given = new Map<string, { key: string; number: number }>()
  private readonly seen = new Set<string>()

  /** Throws VqValueError where two earlier items have the same codes, or one has none. */
  constructor(previous: Iterable<SemanticId> = []) {
    const taken = new Map<string, string>()
    for (const { id, codes } of previous) {
      const [key, number] = [keyOf(codes, codes.length - 1), codes[codes.length - 1]]
      const whole = keyOf(codes, codes.length)
      if (codes.length < 2 || this.given.has(id) || taken.has(whole))
        throw bad(
          'earlier items with codes and a last number each, unique in ids and codes',
          `${JSON.stringify(id)} with [${whole}]${taken.has(whole) ? `, as ${JSON.stringify(taken.get(whole))}` : ''}`,
          'Pass what disambiguate gave before.',
        )
      taken.set(whole, id)
      this.given.set(id, { key, number })
      this.free.set(key, Math.max(this.free.get(key) ?? 0, number + 1))
    }
  }

  /** The item with its number behind its codes. Throws VqValueError for an id that came before. */
  next<T extends SemanticId>(item: T): T & { codes: Int32Array } {
    const { id, codes } = item
    if (this.seen.has(id))
      throw bad('an item only once', `${JSON.stringify(id)} twice`, 'Give each item an id of its own.')
    this.seen.add(id)
    const key = keyOf(codes, codes.length)
    const before = this.given.get(id)
    const number = before?.key === key ? before.number : (this.free.get(key) ?? 0)
    if (before?.key !== key) this.free.set(key, number + 1)
    const out = new Int32Array(codes.length + 1)
    out.set(codes)
    out[codes.length] = number
    return { ...item, codes: out }
  }
}

/** `Disambiguator` for all items at once, in their order. */
export function disambiguate<T extends SemanticId>(
  items: Iterable<T>,
  previous?: Iterable<SemanticId>,
): (T & { codes: Int32Array })[] {
  const numbers = new Disambiguator(previous)
  return Array.from(items, item => numbers.next(item))
}

function keyOf(codes: ArrayLike<number>, length: number): string {
  let key = ''
  for (let i = 0; i < length; i++) key += i === 0 ? codes[i] : ` ${codes[i]}`
  return key
}

function bad(expected: string, received: string, remedy: string): VqValueError {
  return new VqValueError({ operation: 'disambiguate', expected, received, remedy })
}
