import { expectInteger, VqShapeError, VqValueError } from '@vq/core'
import { iterateSemanticIds, writeSemanticIds } from './files.js'
import type { SemanticId } from './record.js'

export interface CodeNeighbour {
  id: string
  /** The item's number, in the order in which it was added. */
  item: number
  codes: Int32Array
  /** How many codes from the first on are the same. */
  shared: number
  /** How many codes are the same, wherever they stand. */
  equal: number
}

/**
 * Items by their codes: which ones begin with a prefix, how many, and which ones are near. Rows are sorted by their codes once; a prefix is
 * a range of them, found by halving.
 *
 * @example
 * const index = await CodeIndex.load('ids.parquet')
 * index.find([17, 4])                // ids of the items whose codes begin with 17, 4
 * index.counts([17])                 // how many items there are below 17, by the next code
 * index.nearest([17, 4, 211, 9], 5)
 */
export class CodeIndex {
  /** Codes of each item. */
  readonly levels: number
  /** Of the items, in the order in which they were added. */
  readonly ids: readonly string[]
  /** Row after row in the order of the items. */
  private readonly codes: Int32Array
  /** Numbers of items in the order of their codes. */
  private readonly order: Int32Array

  /** Throws VqShapeError unless there are `levels` codes for each id, VqValueError for a code below 0. */
  constructor(codes: Int32Array, levels: number, ids: readonly string[]) {
    expectInteger('CodeIndex', 'levels', levels, 1)
    if (!(codes instanceof Int32Array) || codes.length !== levels * ids.length)
      throw new VqShapeError({
        operation: 'CodeIndex',
        expected: `${levels} codes for each of ${ids.length} items as an Int32Array`,
        received: `${codes?.length} codes`,
        remedy: 'Pass the codes row by row.',
      })
    const bad = codes.findIndex(code => code < 0)
    if (bad >= 0) throw wrongCode(codes[bad], Math.floor(bad / levels))
    this.levels = levels
    this.ids = ids
    this.codes = codes
    this.order = sorted(codes, levels, ids.length)
  }

  /** The index of items, all with as many codes as the first. Throws VqShapeError for another number, VqValueError for no item. */
  static async build(items: Iterable<SemanticId> | AsyncIterable<SemanticId>): Promise<CodeIndex> {
    const ids: string[] = []
    let codes = new Int32Array(0)
    let levels = 0
    for await (const item of items) {
      if (ids.length === 0) levels = item.codes.length
      if (item.codes.length !== levels)
        throw new VqShapeError({
          operation: 'CodeIndex.build',
          expected: `items of ${levels} codes, as the first one has`,
          received: `${item.codes.length} of ${JSON.stringify(item.id)}`,
          remedy: 'Index items of one model.',
        })
      const at = ids.length * levels
      if (at + levels > codes.length) {
        const larger = new Int32Array(Math.max(1024 * levels, 2 * codes.length))
        larger.set(codes)
        codes = larger
      }
      codes.set(item.codes, at)
      ids.push(item.id)
    }
    if (ids.length === 0)
      throw new VqValueError({
        operation: 'CodeIndex.build',
        expected: 'at least one item',
        received: 'none',
        remedy: 'Encode some items first.',
      })
    return new CodeIndex(codes.slice(0, ids.length * levels), levels, ids)
  }

  /** The index of a file of semantic IDs, or of one that `save` wrote. */
  static load(file: string): Promise<CodeIndex> {
    return CodeIndex.build(iterateSemanticIds(file))
  }

  /** Writes the items in the order in which they were added, as `writeSemanticIds` does by the file's name; .vqids is the smallest. */
  save(file: string): Promise<void> {
    return writeSemanticIds(file, this.items(), { shape: [this.levels] })
  }

  get length(): number {
    return this.ids.length
  }

  codesOf(item: number): Int32Array {
    return this.codes.slice(item * this.levels, (item + 1) * this.levels)
  }

  /** Ids of the items whose codes begin with `prefix`, in the order of their codes, then of their addition; at most `limit`. */
  find(prefix: ArrayLike<number>, limit: number = Number.MAX_SAFE_INTEGER): string[] {
    return Array.from(this.findItems(prefix).slice(0, limit), item => this.ids[item])
  }

  /** Their numbers; a view. */
  findItems(prefix: ArrayLike<number>): Int32Array {
    const [from, to] = this.range(prefix)
    return this.order.subarray(from, to)
  }

  /** How many items begin with `prefix`; all of them with []. */
  count(prefix: ArrayLike<number>): number {
    const [from, to] = this.range(prefix)
    return to - from
  }

  /** The codes that follow `prefix`, ascending, and how many items each has. Throws VqShapeError for a prefix of all levels. */
  counts(prefix: ArrayLike<number> = []): { code: number; count: number }[] {
    const level = prefix.length
    if (level >= this.levels) throw tooLong(prefix, this.levels - 1)
    const [from, to] = this.range(prefix)
    const out: { code: number; count: number }[] = []
    for (let at = from; at < to; ) {
      const code = this.codes[this.order[at] * this.levels + level]
      const end = this.bound(level, code + 1, at, to)
      out.push({ code, count: end - at })
      at = end
    }
    return out
  }

  /**
   * The k items nearest to `codes`: those that share the longest prefix first, among them those with the most equal codes in all, then those
   * that were added first. Later levels refine earlier ones, so a shared prefix says more than any number of equal codes after it.
   */
  nearest(codes: ArrayLike<number>, k: number): CodeNeighbour[] {
    expectInteger('CodeIndex.nearest', 'k', k, 1)
    if (codes.length !== this.levels) throw tooLong(codes, this.levels)
    const ranges = [[0, this.length]]
    for (let level = 0; level < this.levels; level++) {
      const [from, to] = ranges[level]
      const first = this.bound(level, codes[level], from, to)
      ranges.push([first, this.bound(level, codes[level] + 1, first, to)])
    }
    const out: CodeNeighbour[] = []
    let [innerFrom, innerTo] = [0, 0]
    for (let shared = this.levels; shared >= 0 && out.length < k; shared--) {
      const [from, to] = ranges[shared]
      const byEqual: number[][] = Array.from({ length: this.levels + 1 }, () => [])
      for (let at = from; at < to; at++) {
        // What shares more is out already.
        if (at === innerFrom && innerTo > innerFrom) {
          at = innerTo - 1
          continue
        }
        const item = this.order[at]
        let equal = shared
        for (let level = shared + 1; level < this.levels; level++)
          if (this.codes[item * this.levels + level] === codes[level]) equal++
        byEqual[equal].push(item)
      }
      for (let equal = this.levels; equal >= 0 && out.length < k; equal--)
        for (const item of byEqual[equal].sort((a, b) => a - b).slice(0, k - out.length))
          out.push({ id: this.ids[item], item, codes: this.codesOf(item), shared, equal })
      if (to > from) [innerFrom, innerTo] = [from, to]
    }
    return out
  }

  private *items(): Generator<SemanticId> {
    for (let item = 0; item < this.length; item++) yield { id: this.ids[item], codes: this.codesOf(item) }
  }

  private range(prefix: ArrayLike<number>): [number, number] {
    if (prefix.length > this.levels) throw tooLong(prefix, this.levels)
    let [from, to] = [0, this.length]
    for (let level = 0; level < prefix.length && from < to; level++) {
      from = this.bound(level, prefix[level], from, to)
      to = this.bound(level, prefix[level] + 1, from, to)
    }
    return [from, to]
  }

  // The first place in [from, to), whose rows agree below `level`, with a code of at least `code`.
  private bound(level: number, code: number, from: number, to: number): number {
    const { codes, order, levels } = this
    while (from < to) {
      const middle = (from + to) >>> 1
      if (codes[order[middle] * levels + level] < code) from = middle + 1
      else to = middle
    }
    return from
  }
}

// By 16 bits at a time from the last level to the first; each pass keeps the order of the one before.
function sorted(codes: Int32Array, levels: number, count: number): Int32Array {
  let order = Int32Array.from({ length: count }, (_, i) => i)
  let next = new Int32Array(count)
  const starts = new Int32Array(2 ** 16 + 1)
  for (let level = levels - 1; level >= 0; level--) {
    let most = 0
    for (let at = level; at < codes.length; at += levels) most = Math.max(most, codes[at])
    for (let shift = 0; shift < 32 && most >>> shift > 0; shift += 16) {
      starts.fill(0)
      for (let at = level; at < codes.length; at += levels) starts[((codes[at] >>> shift) & 0xffff) + 1]++
      for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1]
      for (let i = 0; i < count; i++) {
        const item = order[i]
        next[starts[(codes[item * levels + level] >>> shift) & 0xffff]++] = item
      }
      ;[order, next] = [next, order]
    }
  }
  return order
}

function tooLong(codes: ArrayLike<number>, levels: number): VqShapeError {
  return new VqShapeError({
    operation: 'CodeIndex',
    expected: `${levels} codes at most, or as many for nearest`,
    received: `${codes.length}`,
    remedy: 'Pass codes of the indexed model.',
  })
}

function wrongCode(code: number, item: number): VqValueError {
  return new VqValueError({
    operation: 'CodeIndex',
    expected: 'codes from 0 up',
    received: `${code} of item ${item}`,
    remedy: 'Leave masked items out.',
  })
}
