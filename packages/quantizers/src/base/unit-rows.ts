import { customGradient, orderedLinear, tf } from '@vq/core'

/**
 * Rows divided by their norms; rows of norm 0 stay 0, and get no gradient, like those so small that it would leave float32.
 * x: [N, D], finite. The same bits on every backend.
 */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [x],
    save => {
      // By the largest number first: squares of very large and very small ones leave float32.
      const most = tf.max(tf.abs(x), 1, true) // [N, 1]
      const near1 = tf.divNoNan(x, most)
      // Added in order: residual codes hang on the last bits.
      const length = tf.sqrt(orderedLinear(tf.square(near1), tf.ones([x.shape[1], 1])))
      const y = tf.divNoNan(near1, length) as tf.Tensor2D
      const inverse = tf.divNoNan(tf.divNoNan(1, length), most)
      save([y, tf.where(tf.isFinite(inverse), inverse, tf.zerosLike(inverse))])
      return y
    },
    (dy, [y, inverse]) => [tf.mul(tf.sub(dy, tf.mul(y, tf.sum(tf.mul(y, dy), 1, true))), inverse)],
  )
}
