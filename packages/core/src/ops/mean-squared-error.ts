import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { customGradient } from './custom-gradient.js'

/** Mean over all elements of (a − b)²; a, b of one shape. Differentiable in both. */
export function meanSquaredError(a: tf.Tensor, b: tf.Tensor): tf.Scalar {
  expectShape(
    tf.util.arraysEqual(a.shape, b.shape),
    'meanSquaredError',
    `two tensors [${a.shape.join(', ')}]`,
    `a second tensor [${b.shape.join(', ')}]`,
    'Reshape one of them.',
  )
  return customGradient<tf.Scalar>(
    [a, b],
    save => {
      save([a, b])
      return tf.mean(tf.square(tf.sub(a, b))) as tf.Scalar
    },
    (dy, [a, b]) => {
      // From the inputs: a saved difference would be a constant to second order.
      const difference = tf.sub(a, b)
      const g = tf.mul(difference, tf.mul(dy, 2 / difference.size))
      return [g, tf.neg(g)]
    },
  )
}
