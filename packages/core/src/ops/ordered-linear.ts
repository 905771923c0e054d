import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { tryNative } from '../native.js'
import { callNow } from '../quantize/call.js'
import { customGradient } from './custom-gradient.js'
import { composedWarning, valuesOf } from './fallback.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

/**
 * x·weight + bias, each element one fused multiply-add per input in ascending order from the bias on. x: [..., in];
 * weight: [in, out]; bias: [out]; the result is [..., out]. Differentiable in all three.
 *
 * A matrix product's last bits may depend on how many rows it has; these depend on the row alone, on every backend and
 * instruction set and for every number of threads. It is for what codes are computed from. Without the addon tfjs's product
 * takes its place, with a warning. Throws VqShapeError where sizes do not fit.
 */
export function orderedLinear(x: tf.Tensor, weight: tf.Tensor2D, bias?: tf.Tensor1D): tf.Tensor {
  expectShape(
    x.rank >= 1 &&
      weight.rank === 2 &&
      weight.size > 0 &&
      x.shape[x.rank - 1] === weight.shape[0] &&
      (bias === undefined || (bias.rank === 1 && bias.shape[0] === weight.shape[1])),
    'orderedLinear',
    'x [..., in], weight [in, out] and bias [out]',
    `x [${x.shape}], weight [${weight.shape}]${bias ? `, bias [${bias.shape}]` : ''}`,
    'The weight takes as many inputs as x has features.',
  )
  expectFloat32('orderedLinear', x, weight, bias)
  const [inputs, outputs] = weight.shape
  return customGradient<tf.Tensor>(
    bias === undefined ? [x, weight] : [x, weight, bias],
    save => {
      save([x, weight])
      return product(x, weight, bias)
    },
    (dy, [x, weight]) => {
      const rows = tf.reshape(dy, [-1, outputs]) as tf.Tensor2D
      const dx = tf.reshape(tf.matMul(rows, weight as tf.Tensor2D, false, true), x.shape)
      const dweight = tf.matMul(tf.reshape(x, [-1, inputs]) as tf.Tensor2D, rows, true, false)
      return bias === undefined ? [dx, dweight] : [dx, dweight, tf.sum(rows, 0)]
    },
  )
}

function product(x: tf.Tensor, weight: tf.Tensor2D, bias: tf.Tensor1D | undefined): tf.Tensor {
  if (hasKernel('VqOrderedLinear')) return runKernel('VqOrderedLinear', { x, weight, bias })
  const [inputs, outputs] = weight.shape
  const shape = [...x.shape.slice(0, -1), outputs]
  if (tryNative() === undefined) {
    composedWarning('orderedLinear')
    const plain = tf.matMul(tf.reshape(x, [-1, inputs]) as tf.Tensor2D, weight)
    return tf.reshape(bias === undefined ? plain : tf.add(plain, bias), shape)
  }
  const b = bias === undefined ? null : valuesOf(bias)
  const y = callNow<Float32Array>('orderedLinear', {}, (core, threads) =>
    core.orderedLinear(valuesOf(x), valuesOf(weight), b, inputs, outputs, threads, false),
  )
  return tf.tensor(y, shape)
}
