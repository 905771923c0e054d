import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { type ConvOptions, expectRoom, type Geometry, geometryOf } from './convolution-geometry.js'
import { spreadFilter } from './convolution-gradients.js'
import { hasKernel, runKernel } from './kernel.js'

/**
 * Convolution with optional bias. x: [B, H, W, I]; filter: [kh, kw, I/groups, O]; bias: [O]; the result is
 * [B, (H + padding − dilation·(kh − 1) − 1)/stride + 1, …, O], rounded down. Differentiable in all three.
 * Throws VqShapeError where sizes do not fit, VqConfigError for options out of range.
 */
export function conv2d(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias?: tf.Tensor1D,
  options: ConvOptions = {},
): tf.Tensor4D {
  return convolve2d('conv2d', x, filter, bias, geometryOf('conv2d', filter.shape.slice(0, 2), options))
}

/** As {@link conv2d} over one axis. x: [B, L, I]; filter: [k, I/groups, O]; bias: [O]. */
export function conv1d(
  x: tf.Tensor3D,
  filter: tf.Tensor3D,
  bias?: tf.Tensor1D,
  options: ConvOptions = {},
): tf.Tensor3D {
  return convolve1d('conv1d', x, filter, bias, geometryOf('conv1d', filter.shape.slice(0, 1), options))
}

/** Throws unless x, filter and bias of a convolution over `axes` axes, or of a transposed one, belong together. */
export function expectOperands(
  operation: string,
  axes: number,
  x: tf.Tensor,
  filter: tf.Tensor,
  bias: tf.Tensor | undefined,
  groups: number,
  transposed = false,
): void {
  const [near, far] = [filter.shape[axes], filter.shape[axes + 1]]
  const [inputs, outputs] = transposed ? [far, near * groups] : [near * groups, far]
  const fits =
    x.rank === axes + 2 &&
    filter.rank === axes + 2 &&
    x.shape[axes + 1] === inputs &&
    far % groups === 0 &&
    (bias === undefined || bias.size === outputs)
  if (fits) return
  const kernel = ['k', 'kh, kw', 'kd, kh, kw'][axes - 1]
  const channels = transposed ? `O/${groups}, I` : `I/${groups}, O`
  expectShape(
    false,
    operation,
    `x [B, ${['L', 'H, W', 'D, H, W'][axes - 1]}, I], filter [${kernel}, ${channels}] and bias [O], I and O multiples of ${groups}`,
    `x [${x.shape}], filter [${filter.shape}]${bias ? `, bias [${bias.shape}]` : ''}`,
    'Channels are the last axis; the filter takes as many as x has.',
  )
}

export function convolve1d(
  operation: string,
  x: tf.Tensor3D,
  filter: tf.Tensor3D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
): tf.Tensor3D {
  expectOperands(operation, 1, x, filter, bias, g.groups)
  return tf.tidy(() => {
    const [b, length, channels] = x.shape
    // An image one pixel high.
    const flat: Geometry = {
      groups: g.groups,
      strides: [1, ...g.strides],
      pads: [[0, 0], ...g.pads],
      dilations: [1, ...g.dilations],
      extra: [0, ...g.extra],
    }
    const image = tf.reshape(x, [b, 1, length, channels]) as tf.Tensor4D
    const y = convolve2d(operation, image, tf.reshape(filter, [1, ...filter.shape]), bias, flat)
    return tf.reshape(y, [b, y.shape[2], y.shape[3]])
  })
}

export function convolve2d(
  operation: string,
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
): tf.Tensor4D {
  expectOperands(operation, 2, x, filter, bias, g.groups)
  expectRoom(operation, x.shape.slice(1, 3), filter.shape.slice(0, 2), g)
  if (g.groups === 1) return whole(x, filter, bias, g)
  return tf.tidy(() => {
    if (filter.shape[2] === 1) return addBias(depthwise(x, filter, g), bias)
    return addBias(
      inGroups(x, filter, g.groups, 3, (part, w) => whole(part, w, undefined, g)),
      bias,
    )
  })
}

/** Runs each group of channels by itself. `axis` is that of the filter which the groups divide. */
export function inGroups<T extends tf.Tensor>(
  x: T,
  filter: T,
  groups: number,
  axis: number,
  convolve: (x: T, filter: T) => tf.Tensor,
): T {
  const filters = tf.split<tf.Tensor>(filter, groups, axis)
  const parts = tf.split<tf.Tensor>(x, groups, -1).map((part, i) => convolve(part as T, filters[i] as T))
  return tf.concat(parts, -1) as T
}

/** y + bias over channels. */
export function addBias<T extends tf.Tensor>(y: T, bias: tf.Tensor1D | undefined): T {
  return bias === undefined ? y : (tf.add(y, bias) as T)
}

/** x with the padding of each axis around it. tfjs's `tensorflow` backend takes no padding in numbers. */
export function padded<T extends tf.Tensor>(x: T, { pads }: Geometry): T {
  if (pads.flat().every(p => p === 0)) return x
  return tf.pad(x, [[0, 0], ...pads.map(([a, b]): [number, number] => [a, b]), [0, 0]])
}

/** What tfjs's own planar kernels are told, the padding being done. */
export function planarAttributes({ strides, dilations }: Geometry): Record<string, unknown> {
  return { strides, dilations, pad: 'valid', dataFormat: 'NHWC', dimRoundingMode: undefined }
}

/** What `vq-cpu` is told of them, which pads by itself. */
export function paddingAttributes(g: Geometry): Record<string, unknown> {
  return { ...planarAttributes(g), pad: [[0, 0], ...g.pads.map(p => [...p]), [0, 0]] }
}

function whole(x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor1D | undefined, g: Geometry): tf.Tensor4D {
  const { strides: stride, pads: padding, dilations: dilation } = g
  if (hasKernel('VqConv2d'))
    return runKernel('VqConv2d', { x, filter, bias }, { stride, padding, dilation }) as tf.Tensor4D
  return tf.tidy(() => {
    const y = runKernel('Conv2D', { x: padded(x, g), filter }, planarAttributes(g))
    return addBias(y as tf.Tensor4D, bias)
  })
}

// One filter or several per channel: the order of results is the same, so the filter is only read otherwise.
function depthwise(x: tf.Tensor4D, filter: tf.Tensor4D, g: Geometry): tf.Tensor4D {
  const [kh, kw, , outputs] = filter.shape
  const channels = x.shape[3]
  const each = tf.reshape(filter, [kh, kw, channels, outputs / channels]) as tf.Tensor4D
  if (hasKernel('VqConv2d'))
    return runKernel('DepthwiseConv2dNative', { x, filter: each }, paddingAttributes(g)) as tf.Tensor4D
  // tfjs's kernels refuse steps and dilations at once, and TensorFlow's uneven steps: then every result is computed.
  const [sh, sw] = g.strides
  const attrs = planarAttributes({ ...g, strides: sh === sw ? g.strides : [1, 1], dilations: [1, 1] })
  const taps = spreadFilter<tf.Tensor4D>(each, g.dilations)
  const y = runKernel('DepthwiseConv2dNative', { x: padded(x, g), filter: taps }, attrs) as tf.Tensor4D
  return sh === sw ? y : (tf.stridedSlice(y, [0, 0, 0, 0], y.shape, [1, sh, sw, 1]) as tf.Tensor4D)
}

tf.registerGradient({
  kernelName: 'VqConv2d',
  inputsToSave: ['x', 'filter'],
  gradFunc: (dy, saved, attrs) => {
    const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D]
    const g = dy as tf.Tensor4D
    const geometry = attrs as unknown as Record<string, unknown>
    return {
      x: () => runKernel('VqConv2dTranspose', { x: g, filter }, { ...geometry, outputShape: x.shape }),
      filter: () => runKernel('VqConv2dFilterGrad', { x, dy: g }, { ...geometry, filterShape: filter.shape }),
      bias: () => tf.sum(g, [0, 1, 2]),
    }
  },
})
