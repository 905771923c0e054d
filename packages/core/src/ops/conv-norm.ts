import * as tf from '@tensorflow/tfjs-core'
import type { Geometry } from './convolution-geometry.js'
import { hasKernel, runKernel } from './kernel.js'

/** What normalises a convolution's result, [O] each. */
export interface ConvNorm {
  gamma: tf.Tensor1D
  beta: tf.Tensor1D
  mean: tf.Tensor1D
  variance: tf.Tensor1D
  epsilon: number
}

/**
 * A convolution, then batch normalisation by given statistics, then what is added, then ReLU, as one kernel: the
 * normalisation scales the filter. Undefined where that cannot be done: on other backends, for groups, and while gradients
 * are recorded.
 */
export function convolveNormalised(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D | undefined,
  geometry: Geometry,
  { epsilon, ...norm }: ConvNorm,
  { relu = false, added }: { relu?: boolean; added?: tf.Tensor | undefined },
): tf.Tensor4D | undefined {
  const { gradientDepth, kernelDepth } = tf.engine().state
  const recorded = gradientDepth > 0 && kernelDepth === 0
  if (recorded || geometry.groups !== 1 || !hasKernel('VqConv2dNorm')) return undefined
  const { strides: stride, pads: padding, dilations: dilation } = geometry
  const attrs = { stride, padding, dilation, epsilon, relu }
  return runKernel('VqConv2dNorm', { x, filter, bias, ...norm, added }, attrs) as tf.Tensor4D
}
