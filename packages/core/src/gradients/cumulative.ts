import * as tf from '@tensorflow/tfjs-core'

/**
 * The gradient of a running product y: Σ_j dy_j · y_j / x_i over the products that hold x_i. Beyond the first zero of a
 * line all are zero; at it, its own gradient is taken with the zero replaced by one.
 */
function cumprodGradient(
  dy: tf.Tensor,
  x: tf.Tensor,
  axis: number,
  exclusive: boolean,
  reverse: boolean,
): tf.Tensor {
  const zero = tf.cast(tf.equal(x, 0), 'float32')
  const zeros = tf.cumsum(zero, axis, false, reverse)
  const before = tf.equal(zeros, 0)
  const first = tf.logicalAnd(tf.equal(x, 0), tf.equal(zeros, 1))
  const filled = tf.where(first, tf.onesLike(x), x)
  const back = (product: tf.Tensor): tf.Tensor => tf.cumsum(tf.mul(dy, product), axis, exclusive, !reverse)
  const plain = tf.div(back(tf.cumprod(x, axis, exclusive, reverse)), tf.where(before, x, tf.onesLike(x)))
  const atZero = back(tf.cumprod(filled, axis, exclusive, reverse))
  const none = tf.zerosLike(x)
  return tf.where(before, plain, tf.where(first, atZero, none))
}

/** Registers gradients of running sums (tfjs's own permutes the axes of its result) and products. */
export function registerCumulativeGradients(): void {
  tf.registerGradient({
    kernelName: 'Cumsum',
    gradFunc: (dy, _, { axis, exclusive, reverse }) => ({
      x: () =>
        tf.cumsum(dy as tf.Tensor, (axis as number | undefined) ?? 0, exclusive === true, reverse !== true),
    }),
  })
  tf.registerGradient({
    kernelName: 'Cumprod',
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () =>
        cumprodGradient(
          dy as tf.Tensor,
          x,
          (attrs.axis as number | undefined) ?? 0,
          attrs.exclusive === true,
          attrs.reverse === true,
        ),
    }),
  })
}
