// van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, equation 3: ‖sg(z) − e‖² + β‖z − sg(e)‖², here as means
// over all elements. Both terms have one value and share one difference.
import { customGradient, tf } from '@vq/core'

/** β·mean((z − sg(q))²), given the mean and difference = z − q [N, D]: moves z only. */
export function commitmentLoss(
  z: tf.Tensor2D,
  difference: tf.Tensor2D,
  meanSquare: tf.Scalar,
  beta: number,
): tf.Scalar {
  return customGradient<tf.Scalar>(
    [z],
    save => {
      save([difference])
      return tf.mul(meanSquare, beta)
    },
    (dy, [d]) => [tf.mul(d, tf.mul(dy, (2 * beta) / d.size))],
  )
}

/** mean((sg(z) − q)²), given the same: moves the codes that were chosen. codebook: [K, D]. */
export function codebookLoss(
  codebook: tf.Tensor2D,
  indices: tf.Tensor1D,
  difference: tf.Tensor2D,
  meanSquare: tf.Scalar,
): tf.Scalar {
  const k = codebook.shape[0]
  return customGradient<tf.Scalar>(
    [codebook],
    save => {
      save([difference, indices])
      return tf.clone(meanSquare)
    },
    (dy, [d, at]) => [tf.mul(tf.unsortedSegmentSum(d, at as tf.Tensor1D, k), tf.mul(dy, -2 / d.size))],
  )
}
