// Codes that no vector chooses get no update and stay dead; moving them onto vectors of the batch brings them back
// (Williams et al. 2020, https://arxiv.org/abs/2002.08111, section 4.2, and the restarts of Jukebox, Dhariwal et al.
// 2020, https://arxiv.org/abs/2005.00341).
import { type Random, tf } from '@vq/core'
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
  const codes = Int32Array.from({ length: counts.length }, (_, k) => k).filter(k => counts[k] < threshold)
  if (codes.length === 0) return undefined
  const each = rows.shape[0] / groups
  const perGroup = counts.length / groups
  const picks = codes.map(k => Math.floor(k / perGroup) * each + random.integer(each))
  const gathered = tf.tidy(() => tf.gather(rows, tf.tensor1d(picks, 'int32')))
  const vectors = gathered.dataSync() as Float32Array
  gathered.dispose()
  return { codes, vectors: distributed === undefined ? vectors : share(vectors, codes.length, distributed) }
}

// Every process gives the vectors of some of the codes.
function share(vectors: Float32Array, codes: number, { rank, size, sum }: Distributed): Float32Array {
  const dim = vectors.length / codes
  const shared = vectors.map((v, i) => (Math.floor(i / dim) % size === rank ? v : 0))
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
