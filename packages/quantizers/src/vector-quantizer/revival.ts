// Codes that no vector chooses get no update and stay dead; moving them onto vectors of the batch brings them back
// (Williams et al. 2020, https://arxiv.org/abs/2002.08111, section 4.2, and the restarts of Jukebox, Dhariwal et al.
// 2020, https://arxiv.org/abs/2005.00341).
import { type Random, tf } from '@vq/core'

/** What a code's moving average starts at again after a revival: high enough to give it time. */
export function freshCount(threshold: number): number {
  return Math.max(1, 2 * threshold)
}

export interface Revived {
  /** The codes that were dead, ascending. */
  codes: Int32Array
  /** Their new vectors, row by row. */
  vectors: Float32Array
}

/** For each code whose count is below the threshold a random row of `rows` [N, D]; undefined where none is. */
export function reviveDead(
  counts: ArrayLike<number>,
  threshold: number,
  rows: tf.Tensor2D,
  random: Random,
): Revived | undefined {
  const codes = Int32Array.from({ length: counts.length }, (_, k) => k).filter(k => counts[k] < threshold)
  if (codes.length === 0) return undefined
  const picks = codes.map(() => random.integer(rows.shape[0]))
  const gathered = tf.tidy(() => tf.gather(rows, tf.tensor1d(picks, 'int32')))
  const vectors = gathered.dataSync() as Float32Array
  gathered.dispose()
  return { codes, vectors }
}

/** Sets rows `codes` of table [K, D] to `scale` times the vectors. */
export function setRows(table: tf.Variable<tf.Rank.R2>, { codes, vectors }: Revived, scale = 1): void {
  const [, dim] = table.shape
  const values = (table.dataSync() as Float32Array).slice()
  for (const [i, k] of codes.entries())
    for (let d = 0; d < dim; d++) values[k * dim + d] = scale * vectors[i * dim + d]
  tf.tidy(() => table.assign(tf.tensor2d(values, table.shape)))
}
