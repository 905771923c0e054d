import { customGradient, type Estimator, estimatorGradientTensors, tf } from '@vq/core'

/** q itself, bit for bit, with an estimator's gradient to z. z, q: [N, D]. */
export function throughEstimator(estimator: Estimator, z: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [z],
    save => {
      save([z, q])
      return tf.clone(q)
    },
    (g, [z, q]) => [estimatorGradientTensors(estimator, z, q, g)],
  )
}
