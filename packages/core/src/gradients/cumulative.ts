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

/** The gradient of a product over axes: dy times the products of all others, those before an element and those behind it. */
function prodGradient(dy: tf.Tensor, x: tf.Tensor, axes: number[]): tf.Tensor {
  const kept = [...x.shape.keys()].filter(axis => !axes.includes(axis))
  const order = [...kept, ...axes]
  const moved = tf.transpose(x, order)
  const lines = tf.reshape(moved, [
    tf.util.sizeFromShape(dy.shape),
    tf.util.sizeFromShape(moved.shape.slice(kept.length)),
  ])
  const others = tf.mul(tf.cumprod(lines, 1, true), tf.cumprod(lines, 1, true, true))
  const dx = tf.reshape(tf.mul(tf.reshape(dy, [-1, 1]), others), moved.shape)
  return tf.transpose(
    dx,
    order.map((_, axis) => order.indexOf(axis)),
  )
}

/** Registers gradients of running sums (tfjs's own permutes the axes of its result) and of products (its own
 * calls chained ops, which Node's build lacks). */
export function registerCumulativeGradients(): void {
  tf.registerGradient({
    kernelName: 'Cumsum',
    gradFunc: (dy, _, { axis, exclusive, reverse }) => ({
      x: () =>
        tf.cumsum(dy as tf.Tensor, (axis as number | undefined) ?? 0, exclusive === true, reverse !== true),
    }),
  })
  tf.registerGradient({
    kernelName: 'Prod',
    inputsToSave: ['x'],
    gradFunc: (dy, [x], { axis }) => ({
      x: () => {
        const axes = tf.util.parseAxisParam(
          (axis as number | number[] | undefined) ?? [...x.shape.keys()],
          x.shape,
        )
        return x.size === 0 ? tf.zerosLike(x) : prodGradient(dy as tf.Tensor, x, axes)
      },
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
