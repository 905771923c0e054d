import { expectInteger, expectShape } from '@vq/core'
import { expectTable, type IdTable } from './table.js'

export interface IdNeighbor {
  /** Place in the table. */
  row: number
  id: string
  /** Leading codes in common, added over the positions. */
  sharedPrefix: number
  /** Codes that differ. */
  hamming: number
}

/**
 * The k items whose IDs are nearest to that of an item (its row, which is left out) or to codes [P, L]: first those that share
 * the longest prefix (added over the positions), of these the ones with the fewest codes that differ, of these the lower row.
 * Where both codes are masked they neither share nor differ. One pass over the table.
 *
 * Throws VqConfigError, VqShapeError and VqValueError for a table, a row or codes that are none.
 *
 * @example
 * neighborsById(table, 17, 5).map(({ id, sharedPrefix }) => [id, sharedPrefix])
 */
export function neighborsById(table: IdTable, query: number | ArrayLike<number>, k: number): IdNeighbor[] {
  const n = expectTable('neighborsById', table)
  return nearestIds(table, n, query, k)
}

/** The same of a table that was checked. */
export function nearestIds(
  table: IdTable,
  n: number,
  query: number | ArrayLike<number>,
  k: number,
): IdNeighbor[] {
  const operation = 'neighborsById'
  const { codes, positions, levels, ids } = table
  const width = positions * levels
  expectInteger(operation, 'k', k, 1)
  const self = typeof query === 'number' ? query : -1
  if (typeof query === 'number') expectInteger(operation, 'query', query, 0, n - 1)
  else
    expectShape(
      query?.length === width,
      operation,
      `${width} codes`,
      `${query?.length ?? 'none'}`,
      'Pass [P, L].',
    )
  const wanted =
    typeof query === 'number' ? codes.subarray(query * width, (query + 1) * width) : Int32Array.from(query)
  const best: { row: number; score: number }[] = []
  for (let row = 0; row < n; row++) {
    if (row === self) continue
    const score = affinity(codes, row * width, wanted, 0, positions, levels)
    if (best.length === k && score <= best[k - 1].score) continue
    let at = best.length
    while (at > 0 && best[at - 1].score < score) at--
    best.splice(at, 0, { row, score })
    if (best.length > k) best.pop()
  }
  return best.map(({ row, score }) => ({ row, id: ids[row], ...partsOf(score, width) }))
}

/** One number for the order above, the larger the nearer: shared · (width + 1) + (width − differing). */
export function affinity(
  a: Int32Array,
  from: number,
  b: Int32Array,
  at: number,
  positions: number,
  levels: number,
): number {
  let [shared, differ] = [0, 0]
  for (let p = 0; p < positions; p++) {
    let together = true
    for (let l = 0; l < levels; l++) {
      const x = a[from++]
      if (x !== b[at++]) {
        differ++
        together = false
      } else if (together && x >= 0) shared++
    }
  }
  const width = positions * levels
  return shared * (width + 1) + (width - differ)
}

function partsOf(score: number, width: number): { sharedPrefix: number; hamming: number } {
  return { sharedPrefix: Math.floor(score / (width + 1)), hamming: width - (score % (width + 1)) }
}
