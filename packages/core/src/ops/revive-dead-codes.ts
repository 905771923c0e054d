import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { drawDeadCodes, freshCount, type RevivedCodes } from '../quantize/revive-dead-codes.js'
import type { Random } from '../random.js'
import { detach } from './detach.js'

/** A codebook whose dead codes begin anew; sums where moving averages move it. */
export interface RevivableVariables {
  /** [K, D] */
  codebook: tf.Variable
  /** [K] */
  counts: tf.Variable
  /** [K, D] */
  sums?: tf.Variable | undefined
}

/**
 * The tensor form of {@link reviveDeadCodes}: assigns the variables where a code is dead. vectors: [N, D]. The same draws and
 * the same values as the typed-array form. Errors: VqConfigError, VqShapeError.
 */
export function reviveDeadCodesTensors(
  vectors: tf.Tensor2D,
  { codebook, counts, sums }: RevivableVariables,
  { threshold, random }: { threshold: number; random: Random },
): RevivedCodes {
  const operation = 'reviveDeadCodesTensors'
  expectNumber(operation, 'threshold', threshold, 0, Number.MAX_VALUE)
  expectShape(
    vectors.rank === 2 && vectors.size > 0 && vectors.shape[1] === codebook.shape[1],
    operation,
    `vectors [N, ${codebook.shape[1]}], at least one`,
    `[${vectors.shape}]`,
    'Reshape them to rows.',
  )
  const values = (counts.dataSync() as Float32Array).slice()
  const revived = drawDeadCodes(values, threshold, vectors.shape[0], random)
  if (revived.codes.length === 0) return revived
  const fresh = freshCount(threshold)
  for (const k of revived.codes) values[k] = fresh
  tf.tidy(() => {
    counts.assign(tf.tensor1d(values))
    // Only the rows that were drawn leave the backend.
    const rows = tf.gather(detach(vectors), tf.tensor1d(revived.rows, 'int32')).dataSync() as Float32Array
    setRows(codebook, revived.codes, rows, 1)
    if (sums !== undefined) setRows(sums, revived.codes, rows, Math.fround(fresh))
  })
  return revived
}

function setRows(table: tf.Variable, codes: Int32Array, rows: Float32Array, scale: number): void {
  const dim = table.shape[1] as number
  const values = (table.dataSync() as Float32Array).slice()
  for (const [i, k] of codes.entries())
    for (let d = 0; d < dim; d++) values[k * dim + d] = scale * rows[i * dim + d]
  table.assign(tf.tensor2d(values, table.shape as [number, number]))
}
