import * as tf from '@tensorflow/tfjs-core'
import { addBias, expectOperands, inGroups, padded } from './conv.js'
import { cut } from './conv-transpose.js'
import {
  type ConvOptions,
  type ConvTransposeOptions,
  expectRoom,
  type Geometry,
  geometryOf,
  reach,
  transposedSizes,
} from './convolution-geometry.js'
import { convolutionByInput, spreadFilter } from './convolution-gradients.js'
import { hasKernel, runKernel } from './kernel.js'

/** As conv2d over three axes. x: [B, D, H, W, I]; filter: [kd, kh, kw, I/groups, O]; bias: [O]. */
export function conv3d(
  x: tf.Tensor5D,
  filter: tf.Tensor5D,
  bias?: tf.Tensor1D,
  options: ConvOptions = {},
): tf.Tensor5D {
  return convolve3d('conv3d', x, filter, bias, geometryOf('conv3d', filter.shape.slice(0, 3), options))
}

/** As conv2dTranspose over three axes. x: [B, D, H, W, I]; filter: [kd, kh, kw, O/groups, I]; bias: [O]. */
export function conv3dTranspose(
  x: tf.Tensor5D,
  filter: tf.Tensor5D,
  bias?: tf.Tensor1D,
  options: ConvTransposeOptions = {},
): tf.Tensor5D {
  const geometry = geometryOf('conv3dTranspose', filter.shape.slice(0, 3), options)
  return transpose3d('conv3dTranspose', x, filter, bias, geometry)
}

export function convolve3d(
  operation: string,
  x: tf.Tensor5D,
  filter: tf.Tensor5D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
): tf.Tensor5D {
  expectOperands(operation, 3, x, filter, bias, g.groups)
  expectRoom(operation, x.shape.slice(1, 4), filter.shape.slice(0, 3), g)
  return tf.tidy(() => {
    const even = evenPad(g)
    const image = even === undefined ? padded(x, g) : x
    // TensorFlow takes no dilations on a processor.
    const taps = hasKernel('VqConv2d') ? filter : spreadFilter(filter, g.dilations)
    const dilations = taps === filter ? g.dilations : [1, 1, 1]
    const attrs = attributes({ ...g, dilations }, even ?? 'valid')
    const run = (part: tf.Tensor, w: tf.Tensor): tf.Tensor =>
      runKernel('Conv3D', { x: part, filter: w }, attrs)
    const y = g.groups === 1 ? run(image, taps) : inGroups<tf.Tensor>(image, taps, g.groups, 4, run)
    return addBias(y as tf.Tensor5D, bias)
  })
}

export function transpose3d(
  operation: string,
  x: tf.Tensor5D,
  filter: tf.Tensor5D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
): tf.Tensor5D {
  expectOperands(operation, 3, x, filter, bias, g.groups, true)
  const kernel = filter.shape.slice(0, 3)
  const sizes = transposedSizes(operation, x.shape.slice(1, 4), kernel, g)
  const even = g.extra.every((n, i) => n < g.strides[i]) ? evenPad(g) : undefined
  const covered = reach(kernel, g)
  // Without padding, to be cut afterwards, where the kernel cannot have it.
  const made = even === undefined ? covered.map((n, i) => (x.shape[i + 1] - 1) * g.strides[i] + n) : sizes
  const shape = [x.shape[0], ...made, filter.shape[3]]
  const attrs = attributes(g, even ?? 'valid')
  const run = (part: tf.Tensor, w: tf.Tensor): tf.Tensor =>
    convolutionByInput('Conv3D', part, w, shape, attrs)
  return tf.tidy(() => {
    const y = g.groups === 1 ? run(x, filter) : inGroups<tf.Tensor>(x, filter, g.groups, 4, run)
    return addBias((even === undefined ? cut(y, g) : y) as tf.Tensor5D, bias)
  })
}

/** One number for all sides, where there is one and the backend takes it. */
function evenPad({ pads }: Geometry): number | 'valid' | undefined {
  const [[first]] = pads
  if (!pads.flat().every(p => p === first)) return undefined
  if (first === 0) return 'valid'
  return hasKernel('VqConv2d') ? first : undefined
}

function attributes({ strides, dilations }: Geometry, pad: number | 'valid'): Record<string, unknown> {
  return { strides, dilations, pad, dataFormat: 'NDHWC' }
}
