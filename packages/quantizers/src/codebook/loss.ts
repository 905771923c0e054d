// van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, equation 3: ‖sg(z) − e‖² + β‖z − sg(e)‖², here as means
// over all elements. Both terms have one value and share one difference.
import { customGradient, tf } from '@vq/core'

// #region losses
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

/** mean((sg(z) − q)²), given the same: moves the codes that were chosen. codes: [C, D]. */
export function codebookLoss(
  codes: tf.Tensor2D,
  indices: tf.Tensor1D,
  difference: tf.Tensor2D,
  meanSquare: tf.Scalar,
): tf.Scalar {
  const count = codes.shape[0]
  return customGradient<tf.Scalar>(
    [codes],
    save => {
      save([difference, indices])
      return tf.clone(meanSquare)
    },
    (dy, [d, at]) => [tf.mul(tf.unsortedSegmentSum(d, at as tf.Tensor1D, count), tf.mul(dy, -2 / d.size))],
  )
}
// #endregion losses

/** `quantized` [N, D] itself, its gradient also given to the codes [C, D] that were chosen. */
export function passToCodes(quantized: tf.Tensor2D, codes: tf.Tensor2D, indices: tf.Tensor1D): tf.Tensor2D {
  const count = codes.shape[0]
  return customGradient<tf.Tensor2D>(
    [quantized, codes],
    save => {
      save([indices])
      return tf.clone(quantized)
    },
    (dy, [at]) => [tf.clone(dy), tf.unsortedSegmentSum(dy, at as tf.Tensor1D, count)],
  )
}

/** mean((sg(z) − q)²), given the mean and difference = z − q [N, D]: moves q, as it came about. */
export function reconstructionLoss(
  q: tf.Tensor2D,
  difference: tf.Tensor2D,
  meanSquare: tf.Scalar,
): tf.Scalar {
  return customGradient<tf.Scalar>(
    [q],
    save => {
      save([difference])
      return tf.clone(meanSquare)
    },
    (dy, [d]) => [tf.mul(d, tf.mul(dy, -2 / d.size))],
  )
}

/** `quantized` [N, D] itself, its gradient also given to q [N, D], as it came about. */
export function passToReconstruction(quantized: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [quantized, q],
    () => tf.clone(quantized),
    dy => [tf.clone(dy), tf.clone(dy)],
  )
}
