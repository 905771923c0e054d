import * as tf from '@tensorflow/tfjs-core'

/** Mean over all elements of (a − b)²; a, b of one shape. Differentiable in both. */
export function meanSquaredError(a: tf.Tensor, b: tf.Tensor): tf.Scalar {
  const custom = tf.customGrad((...inputs) => {
    const [x, y, save] = inputs as [tf.Tensor, tf.Tensor, tf.GradSaveFunc]
    const difference = tf.sub(x, y)
    save([difference])
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const g = tf.mul(saved[0], tf.mul(dy, 2 / difference.size))
      return [g, tf.neg(g)]
    }
    return { value: tf.mean(tf.square(difference)), gradFunc: gradFunc as never }
  })
  return custom(a, b) as tf.Scalar
}
