import * as tf from '@tensorflow/tfjs-core'

export type Metric = 'l2' | 'cosine' | 'dot'

/**
 * Index of the nearest code of every vector. z: [..., D]; codebook: [K, D]. Returns int32 [...]. Not differentiable.
 */
export function nearestCode(
  z: tf.Tensor,
  codebook: tf.Tensor2D,
  _options: { metric?: Metric } = {},
): tf.Tensor {
  return tf.tidy(() => {
    const rows = tf.reshape(z, [-1, codebook.shape[1]]) as tf.Tensor2D
    const bias = tf.mul(tf.sum(tf.square(codebook), 1), 0.5)
    const scores = tf.sub(bias, tf.matMul(rows, codebook, false, true))
    return tf.reshape(tf.argMin(scores, 1), z.shape.slice(0, -1))
  })
}
