import { expectInteger, expectShape, Random, VqConfigError } from '@vq/core'
import type { IdTable, ItemVectors } from './table.js'

/** Items that vectors belong to, and whether there is one for each position. */
export interface VectorRows {
  /** [M], rows of the table. */
  rows: ArrayLike<number>
  /** Vectors of an item: 1 or P. */
  each: number
  /** Whether vector `place` is of a position without a code. */
  masked: (place: number) => boolean
}

/** Checks shapes: [M, dim] or [M, P, dim] for the items that the vectors name. */
export function vectorRows(
  operation: string,
  name: string,
  table: IdTable,
  vectors: ItemVectors,
): VectorRows {
  const { values, dim } = vectors ?? {}
  expectInteger(operation, `dim of ${name}`, dim, 1)
  const rows = vectors.rows ?? Int32Array.from(table.ids.keys())
  const count = (values?.length ?? 0) / dim
  const each = count / rows.length
  expectShape(
    values instanceof Float32Array && rows.length > 0 && (each === 1 || each === table.positions),
    operation,
    `${name} [${rows.length}, ${dim}] or [${rows.length}, ${table.positions}, ${dim}] in a Float32Array`,
    `${values?.length ?? 'no'} numbers`,
    'Pass one vector for each item, or for each position of each item.',
  )
  const seen = new Uint8Array(table.ids.length)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]
    if (!Number.isInteger(row) || row < 0 || row >= seen.length || seen[row] === 1)
      throw new VqConfigError({
        operation,
        expected: `rows of ${name} from 0 to ${seen.length - 1}, each once`,
        received: `${row} at place ${i}`,
        remedy: 'Pass the places of the items in the table.',
      })
    seen[row] = 1
  }
  const { codes, positions, levels } = table
  const masked = (place: number): boolean =>
    each === positions && codes[(rows[Math.floor(place / each)] * positions + (place % each)) * levels] < 0
  return { rows, each, masked }
}

/** At most `most` of n places in random order: where distances tie, no order of files decides. */
export function sampleOf(n: number, most: number, seed: number): Int32Array {
  return new Random(seed).permutation(n).slice(0, most)
}

/** The mean of the vectors of each sampled item that are not masked, [sample, dim]; zeros where all are. */
export function itemMeans(
  { values, dim }: ItemVectors,
  { each, masked }: VectorRows,
  sample: Int32Array,
): Float32Array {
  const out = new Float32Array(sample.length * dim)
  const sum = new Float64Array(dim)
  for (const [to, item] of sample.entries()) {
    let kept = 0
    sum.fill(0)
    for (let place = item * each; place < (item + 1) * each; place++) {
      if (masked(place)) continue
      kept++
      for (let d = 0; d < dim; d++) sum[d] += values[place * dim + d]
    }
    if (kept > 0) for (let d = 0; d < dim; d++) out[to * dim + d] = sum[d] / kept
  }
  return out
}
