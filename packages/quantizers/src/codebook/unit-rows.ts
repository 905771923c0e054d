import { customGradient, tf } from '@vq/core'

/** Rows divided by their norms; rows of norm 0 stay 0, and get no gradient. x: [N, D]. */
export function unitRows(x: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [x],
    save => {
      const norm = tf.sqrt(tf.sum(tf.square(x), 1, true))
      const y = tf.divNoNan(x, norm)
      save([y, norm])
      return y as tf.Tensor2D
    },
    (dy, [y, norm]) => [tf.divNoNan(tf.sub(dy, tf.mul(y, tf.sum(tf.mul(y, dy), 1, true))), norm)],
  )
}
