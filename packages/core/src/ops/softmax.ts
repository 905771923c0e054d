import * as tf from '@tensorflow/tfjs-core'
import { expectInteger } from '../check.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

/**
 * e^x / Σ e^x along `axis` (default the last), computed from x − max x. x: [...], float32, at least one axis; the same shape
 * comes back. A NaN, a +∞ or nothing but −∞ among its entries makes a whole vector NaN. Differentiable.
 */
export function softmax(x: tf.Tensor, axis = -1): tf.Tensor {
  return alongLast('softmax', x, axis, last =>
    hasKernel('VqSoftmaxGrad')
      ? runKernel('Softmax', { logits: last }, { dim: last.rank - 1 })
      : tf.softmax(last),
  )
}

/** log softmax(x) along `axis` (default the last): x − max x − log Σ e^(x − max x). As {@link softmax} in all else. */
export function logSoftmax(x: tf.Tensor, axis = -1): tf.Tensor {
  return alongLast('logSoftmax', x, axis, last =>
    hasKernel('VqSoftmaxGrad')
      ? runKernel('LogSoftmax', { logits: last }, { axis: last.rank - 1 })
      : tf.logSoftmax(last),
  )
}

function alongLast(operation: string, x: tf.Tensor, axis: number, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  expectInteger(operation, 'the rank of x', x.rank, 1)
  expectInteger(operation, 'axis', axis, -x.rank, x.rank - 1)
  expectFloat32(operation, x)
  const at = axis < 0 ? axis + x.rank : axis
  if (at === x.rank - 1) return f(x)
  const order = [...x.shape.keys()]
  order[at] = x.rank - 1
  order[x.rank - 1] = at
  return tf.tidy(() => tf.transpose(f(tf.transpose(x, order)), order))
}

// tfjs's own gradients take four kernels and three passes more.
tf.registerGradient({
  kernelName: 'Softmax',
  outputsToSave: [true],
  gradFunc: (dys, [y], attrs) => {
    const dy = dys as tf.Tensor
    const axis = (attrs as { dim?: number } | undefined)?.dim ?? -1
    return {
      logits: () => {
        if (hasKernel('VqSoftmaxGrad') && isLast(axis, y))
          return runKernel('VqSoftmaxGrad', { y, dy }, { logarithm: false })
        const weighted = tf.mul(dy, y)
        return tf.sub(weighted, tf.mul(tf.sum(weighted, [axis], true), y))
      },
    }
  },
})

tf.registerGradient({
  kernelName: 'LogSoftmax',
  outputsToSave: [true],
  gradFunc: (dys, [y], attrs) => {
    const dy = dys as tf.Tensor
    const axis = (attrs as { axis?: number } | undefined)?.axis ?? -1
    return {
      logits: () => {
        if (hasKernel('VqSoftmaxGrad') && isLast(axis, y))
          return runKernel('VqSoftmaxGrad', { y, dy }, { logarithm: true })
        return tf.sub(dy, tf.mul(tf.sum(dy, [axis], true), tf.exp(y)))
      },
    }
  },
})

function isLast(axis: number, x: tf.Tensor): boolean {
  return axis === -1 || axis === x.rank - 1
}
