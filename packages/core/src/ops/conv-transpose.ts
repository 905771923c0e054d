import * as tf from '@tensorflow/tfjs-core'
import { addBias, expectOperands, inGroups, paddingAttributes, planarAttributes } from './conv.js'
import {
  type ConvTransposeOptions,
  type Geometry,
  geometryOf,
  transposedSizes,
} from './convolution-geometry.js'
import { convolutionByInput, spreadFilter } from './convolution-gradients.js'
import { hasKernel, runKernel } from './kernel.js'

/**
 * Transposed convolution with optional bias. x: [B, H, W, I]; filter: [kh, kw, O/groups, I]; bias: [O]. The result is
 * [B, (H − 1)·stride − padding + dilation·(kh − 1) + 1 + outputPadding, …, O]. Differentiable in all three.
 * Throws VqShapeError where sizes do not fit, VqConfigError for options out of range.
 */
export function conv2dTranspose(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias?: tf.Tensor1D,
  options: ConvTransposeOptions = {},
): tf.Tensor4D {
  const geometry = geometryOf('conv2dTranspose', filter.shape.slice(0, 2), options)
  return transpose2d('conv2dTranspose', x, filter, bias, geometry)
}

export function transpose2d(
  operation: string,
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
): tf.Tensor4D {
  expectOperands(operation, 2, x, filter, bias, g.groups, true)
  const sizes = transposedSizes(operation, x.shape.slice(1, 3), filter.shape.slice(0, 2), g)
  // Results that no convolution the other way would read; and tfjs's `tensorflow` backend takes no padding in numbers.
  const plain = [...g.pads.flat(), ...g.extra].every(n => n === 0)
  if (g.extra.some((n, i) => n >= g.strides[i]) || !(plain || hasKernel('VqConv2dTranspose')))
    return tf.tidy(() => {
      const bare: Geometry = { ...g, pads: [[0, 0], [0, 0]], extra: [0, 0] } // biome-ignore format: pairs
      return addBias(cut(transpose2d(operation, x, filter, undefined, bare), g), bias)
    })
  if (g.groups === 1) return whole(x, filter, bias, g, sizes)
  return tf.tidy(() => {
    const alone = filter.shape[2] === 1 && filter.shape[3] === g.groups
    const y = alone
      ? depthwise(x, filter, g, sizes)
      : inGroups(x, filter, g.groups, 3, (part, w) => whole(part, w, undefined, g, sizes))
    return addBias(y, bias)
  })
}

/** Takes padding off a result made without it, and adds what is due at its ends. */
export function cut<T extends tf.Tensor>(y: T, { pads, extra }: Geometry): T {
  const axes = pads.length
  const missing = pads.map(([, after], i) => Math.max(0, extra[i] - after))
  const sizes = pads.map(([before, after], i) => y.shape[i + 1] - before - after + extra[i] - missing[i])
  const channels = y.shape[axes + 1]
  const inner = tf.slice(y, [0, ...pads.map(p => p[0]), 0], [y.shape[0], ...sizes, channels])
  if (missing.every(n => n === 0)) return inner
  return tf.pad(inner, [[0, 0], ...missing.map((n): [number, number] => [0, n]), [0, 0]])
}

function whole(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D | undefined,
  g: Geometry,
  sizes: number[],
): tf.Tensor4D {
  const outputShape = [x.shape[0], ...sizes, filter.shape[2]]
  const { strides: stride, pads: padding, dilations: dilation } = g
  if (hasKernel('VqConv2dTranspose')) {
    const attrs = { stride, padding, dilation, outputShape }
    return runKernel('VqConv2dTranspose', { x, filter, bias }, attrs) as tf.Tensor4D
  }
  return tf.tidy(() => {
    const y = convolutionByInput('Conv2D', x, filter, outputShape, planarAttributes(g))
    return addBias(y as tf.Tensor4D, bias)
  })
}

function depthwise(x: tf.Tensor4D, filter: tf.Tensor4D, g: Geometry, sizes: number[]): tf.Tensor4D {
  const [kh, kw, , channels] = filter.shape
  const each = tf.reshape(filter, [kh, kw, channels, 1])
  const shape = [x.shape[0], ...sizes, channels]
  const run = (input: tf.Tensor, attrs: Record<string, unknown>): tf.Tensor4D =>
    convolutionByInput('DepthwiseConv2dNative', input, each, shape, attrs) as tf.Tensor4D
  if (hasKernel('VqConv2d')) return run(x, paddingAttributes(g))
  const [sh, sw] = g.strides
  if (sh === sw) return run(x, planarAttributes(g))
  // TensorFlow's refuses uneven steps: zeros between the inputs stand for them.
  return run(spreadFilter(x, [1, sh, sw]), planarAttributes({ ...g, strides: [1, 1] }))
}

tf.registerGradient({
  kernelName: 'VqConv2dTranspose',
  inputsToSave: ['x', 'filter'],
  gradFunc: (dy, saved, attrs) => {
    const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D]
    const g = dy as tf.Tensor4D
    const { outputShape: _, ...geometry } = attrs as unknown as Record<string, unknown>
    return {
      x: () => runKernel('VqConv2d', { x: g, filter }, geometry),
      // The convolution that goes the other way takes dy and gives x.
      filter: () =>
        runKernel('VqConv2dFilterGrad', { x: g, dy: x }, { ...geometry, filterShape: filter.shape }),
      bias: () => tf.sum(g, [0, 1, 2]),
    }
  },
})
