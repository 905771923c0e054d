import { type tf, VqValueError } from '@vq/core'

/**
 * Throws VqValueError naming the quantizer and the first row with NaN or infinity. `probe` is any number that such a
 * row would have made NaN or infinite, so that the rows themselves are only read when something is wrong.
 */
export function expectFiniteRows(operation: string, rows: tf.Tensor2D, probe: number): void {
  if (Number.isFinite(probe)) return
  const values = rows.dataSync()
  const bad = values.findIndex(v => !Number.isFinite(v))
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: 'finite vectors',
      received: `${values[bad]} in row ${Math.floor(bad / rows.shape[1])}, which has no nearest code`,
      remedy: 'Look for such values in the data, lower the learning rate, or clip the gradients.',
    })
}

/** What `find` gives; where it fails because of a row that is not finite, the error is the quantizer's own, as above. */
export function blamingRows<T>(operation: string, rows: tf.Tensor2D, find: () => T): T {
  try {
    return find()
  } catch (error) {
    expectFiniteRows(operation, rows, Number.NaN)
    throw error
  }
}
