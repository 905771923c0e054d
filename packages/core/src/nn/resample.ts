import * as tf from '@tensorflow/tfjs-core'

/** The largest size that an image may be given: weights are made for each of its places. */
export const largestSize: number = 2 ** 20

/** Each row of weights [out][size] gives one place of a result from the places along an axis. */
export type Weights = readonly Float32Array[]

/** Weighted sums along height and then along width: x [B, H, W, C] → [B, out, out, C]. */
export function resample(x: tf.Tensor4D, [rows, columns]: readonly Weights[]): tf.Tensor4D {
  const [b, h, w, c] = x.shape
  const down = tf.matMul(matrix(rows), tf.reshape(x, [b, h, w * c]))
  const across = tf.matMul(matrix(columns), tf.reshape(down, [b * rows.length, w, c]))
  return tf.reshape(across, [b, rows.length, columns.length, c])
}

// A batch of one, which serves for all.
function matrix(weights: Weights): tf.Tensor3D {
  const [rows, columns] = [weights.length, weights[0].length]
  const values = new Float32Array(rows * columns)
  for (const [i, row] of weights.entries()) values.set(row, i * columns)
  return tf.tensor3d(values, [1, rows, columns])
}

/** The transposed weights, which carry gradients back. */
export function turned(weights: Weights): Weights {
  return Array.from(weights[0], (_, j) => Float32Array.from(weights, row => row[j]))
}
