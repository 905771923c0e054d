import * as tf from '@tensorflow/tfjs-core'
import { expectOneOf, expectShape } from '../check.js'
import { type Activation, activations, composedActivation } from './activation.js'
import { customGradient } from './custom-gradient.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernels } from './kernel.js'

/**
 * activation(x·weight + bias). x: [..., in]; weight: [in, out]; bias: [out]; the result is [..., out]. Differentiable in all
 * three. activation: 'linear' (default), 'relu', 'gelu' (exact), 'gelu_tanh', 'silu', 'tanh' or 'sigmoid'.
 * Throws VqShapeError where sizes do not fit and VqConfigError for another activation.
 */
export function linear(
  x: tf.Tensor,
  weight: tf.Tensor2D,
  bias?: tf.Tensor1D,
  activation: Activation = 'linear',
): tf.Tensor {
  expectShape(
    x.rank >= 1 &&
      weight.rank === 2 &&
      x.shape[x.rank - 1] === weight.shape[0] &&
      (bias === undefined || (bias.rank === 1 && bias.shape[0] === weight.shape[1])),
    'linear',
    'x [..., in], weight [in, out] and bias [out]',
    `x [${x.shape}], weight [${weight.shape}]${bias ? `, bias [${bias.shape}]` : ''}`,
    'The weight takes as many inputs as x has features.',
  )
  expectOneOf('linear', 'activation', activation, activations)
  expectFloat32('linear', x, weight, bias)
  if (!hasKernel('VqLinear')) {
    const [inputs, outputs] = weight.shape
    return tf.tidy(() => {
      const rows = tf.util.sizeFromShape(x.shape.slice(0, -1))
      const product = tf.matMul(tf.reshape(x, [rows, inputs]) as tf.Tensor2D, weight)
      const shifted = bias === undefined ? product : tf.add(product, bias)
      return tf.reshape(composedActivation[activation](shifted), [...x.shape.slice(0, -1), outputs])
    })
  }
  return customGradient<tf.Tensor>(
    bias === undefined ? [x, weight] : [x, weight, bias],
    save => {
      const [y, z = y] = runKernels('VqLinear', { x, weight, bias }, { activation })
      save(activation === 'linear' ? [x, weight] : [x, weight, z])
      return y
    },
    (dy, [x, weight, z]) =>
      runKernels('VqLinearGrad', { x, weight, z, dy }, { activation, bias: bias !== undefined }),
  )
}
