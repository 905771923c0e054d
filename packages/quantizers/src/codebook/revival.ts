// Codes that no vector chooses get no update and stay dead; moving them onto vectors of the batch brings them back
// (Williams et al. 2020, https://arxiv.org/abs/2002.08111, section 4.2, and the restarts of Jukebox, Dhariwal et al.
// 2020, https://arxiv.org/abs/2005.00341).
import { drawDeadCodes, type Random, tf } from '@vq/core'
import type { Distributed } from './distributed.js'

export interface Revived {
  /** The codes that were dead, ascending. */
  codes: Int32Array
  /** Their new vectors, row by row. */
  vectors: Float32Array
}

/**
 * For each code whose count is below the threshold a random row of its group; undefined where none is. rows: [G·M, D], the
 * rows of G groups behind one another; the counts hold the codes of the groups likewise.
 */
export function reviveDead(
  counts: ArrayLike<number>,
  threshold: number,
  rows: tf.Tensor2D,
  groups: number,
  random: Random,
  distributed?: Distributed,
): Revived | undefined {
  const n = rows.shape[0]
  // A process without rows draws too, so that all generators stay alike.
  const { codes, rows: picks } = drawDeadCodes(counts, threshold, Math.max(n, groups), random, groups)
  if (codes.length === 0) return undefined
  const vectors = n === 0 ? new Float32Array(codes.length * rows.shape[1]) : rowsAt(rows, picks)
  if (distributed === undefined) return { codes, vectors }
  return { codes, vectors: share(vectors, codes.length, n > 0, distributed) }
}

function rowsAt(rows: tf.Tensor2D, picks: Int32Array): Float32Array {
  const gathered = tf.tidy(() => tf.gather(rows, tf.tensor1d(picks, 'int32')))
  const vectors = gathered.dataSync() as Float32Array
  gathered.dispose()
  return vectors
}

// Every process that has rows gives the vectors of some of the codes.
function share(
  vectors: Float32Array,
  codes: number,
  gives: boolean,
  { rank, size, sum }: Distributed,
): Float32Array {
  const dim = vectors.length / codes
  const givers = new Float32Array(size)
  givers[rank] = gives ? 1 : 0
  sum([givers])
  const ranks = Array.from(givers.keys()).filter(r => givers[r] > 0)
  const shared = vectors.map((v, i) => (ranks[Math.floor(i / dim) % ranks.length] === rank ? v : 0))
  sum([shared])
  return shared
}

/** Sets rows `codes` of table [K, D] to `scale` times the vectors. */
export function setRows(table: tf.Variable<tf.Rank.R2>, { codes, vectors }: Revived, scale = 1): void {
  const [, dim] = table.shape
  const values = (table.dataSync() as Float32Array).slice()
  for (const [i, k] of codes.entries())
    for (let d = 0; d < dim; d++) values[k * dim + d] = scale * vectors[i * dim + d]
  tf.tidy(() => table.assign(tf.tensor2d(values, table.shape)))
}
