import * as tf from '@tensorflow/tfjs-core'

export interface ConvOptions {
  /** Step in both directions. Default 1. */
  stride?: number
  /** Zeros on each side, as in PyTorch. Default 0. */
  padding?: number
}

type Padding = [[number, number], [number, number], [number, number], [number, number]]
const explicit = (p: number): Padding => [
  [0, 0],
  [p, p],
  [p, p],
  [0, 0],
]

/** Convolution with optional bias. x: [B, H, W, I]; filter: [kh, kw, I, O]; bias: [O]. Differentiable in all three. */
export function conv2d(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias?: tf.Tensor1D,
  { stride = 1, padding = 0 }: ConvOptions = {},
): tf.Tensor4D {
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
  const [b, h, w] = x.shape
  const [kh, kw, o] = filter.shape
  const shape: [number, number, number, number] = [
    b,
    (h - 1) * stride - 2 * padding + kh,
    (w - 1) * stride - 2 * padding + kw,
    o,
  ]
  const y = tf.conv2dTranspose(x, filter, shape, stride, explicit(padding))
  return bias === undefined ? y : tf.add(y, bias)
}
