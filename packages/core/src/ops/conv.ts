import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { hasKernel, runKernel } from './kernel.js'

export interface ConvOptions {
  /** Step in both directions. Default 1. */
  stride?: number
  /** Zeros on each side, as in PyTorch. Default 0. */
  padding?: number
}

type Padding = [[number, number], [number, number], [number, number], [number, number]]
const explicit = (p: number): Padding => [[0, 0], [p, p], [p, p], [0, 0]] // biome-ignore format: a matrix

/** Convolution with optional bias. x: [B, H, W, I]; filter: [kh, kw, I, O]; bias: [O]. Differentiable in all three. */
export function conv2d(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias?: tf.Tensor1D,
  { stride = 1, padding = 0 }: ConvOptions = {},
): tf.Tensor4D {
  const received = `x [${x.shape}], filter [${filter.shape}]${bias ? `, bias [${bias.shape}]` : ''}`
  expectShape(
    x.rank === 4 &&
      filter.rank === 4 &&
      x.shape[3] === filter.shape[2] &&
      (bias === undefined || bias.size === filter.shape[3]),
    'conv2d',
    'x [B, H, W, I], filter [kh, kw, I, O] and bias [O]',
    received,
    'Images are NHWC; the filter takes as many channels as x has.',
  )
  expectShape(
    x.shape[1] + 2 * padding >= filter.shape[0] && x.shape[2] + 2 * padding >= filter.shape[1],
    'conv2d',
    'an image at least as large as the filter',
    received,
    'Use larger images, a smaller kernel or more padding.',
  )
  if (hasKernel('VqConv2d'))
    return runKernel('VqConv2d', { x, filter, bias }, { stride, padding }) as tf.Tensor4D
  const y = tf.conv2d(x, filter, stride, explicit(padding))
  return bias === undefined ? y : tf.add(y, bias)
}

/**
 * Transposed convolution with optional bias. x: [B, H, W, I]; filter: [kh, kw, O, I]; bias: [O].
 * The result is [B, (H−1)·stride − 2·padding + kh, …, O]. Differentiable in all three.
 */
export function conv2dTranspose(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias?: tf.Tensor1D,
  { stride = 1, padding = 0 }: ConvOptions = {},
): tf.Tensor4D {
  expectShape(
    x.rank === 4 &&
      filter.rank === 4 &&
      x.shape[3] === filter.shape[3] &&
      (bias === undefined || bias.size === filter.shape[2]),
    'conv2dTranspose',
    'x [B, H, W, I], filter [kh, kw, O, I] and bias [O]',
    `x [${x.shape}], filter [${filter.shape}]${bias ? `, bias [${bias.shape}]` : ''}`,
    'Images are NHWC; the filter takes as many channels as x has.',
  )
  const [b, h, w] = x.shape
  const [kh, kw, o] = filter.shape
  const outputShape: [number, number, number, number] = [
    b,
    (h - 1) * stride - 2 * padding + kh,
    (w - 1) * stride - 2 * padding + kw,
    o,
  ]
  if (hasKernel('VqConv2dTranspose'))
    return runKernel(
      'VqConv2dTranspose',
      { x, filter, bias },
      { stride, padding, outputShape },
    ) as tf.Tensor4D
  const y = tf.conv2dTranspose(x, filter, outputShape, stride, explicit(padding))
  return bias === undefined ? y : tf.add(y, bias)
}

tf.registerGradient({
  kernelName: 'VqConv2d',
  inputsToSave: ['x', 'filter'],
  gradFunc: (dy, saved, attrs) => {
    const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D]
    const { stride, padding } = attrs as unknown as Required<ConvOptions>
    const g = dy as tf.Tensor4D
    return {
      x: () => runKernel('VqConv2dTranspose', { x: g, filter }, { stride, padding, outputShape: x.shape }),
      filter: () =>
        runKernel('VqConv2dFilterGrad', { x, dy: g }, { stride, padding, filterShape: filter.shape }),
      bias: () => tf.sum(g, [0, 1, 2]),
    }
  },
})

tf.registerGradient({
  kernelName: 'VqConv2dTranspose',
  inputsToSave: ['x', 'filter'],
  gradFunc: (dy, saved, attrs) => {
    const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D]
    const { stride, padding } = attrs as unknown as Required<ConvOptions>
    const g = dy as tf.Tensor4D
    return {
      x: () => runKernel('VqConv2d', { x: g, filter }, { stride, padding }),
      // The convolution that goes the other way takes dy and gives x.
      filter: () =>
        runKernel('VqConv2dFilterGrad', { x: g, dy: x }, { stride, padding, filterShape: filter.shape }),
      bias: () => tf.sum(g, [0, 1, 2]),
    }
  },
})
