import * as tf from '@tensorflow/tfjs-core'
import { hasKernel, runKernel } from './kernel.js'

// Gradients of convolutions that TensorFlow.js lacks: dilated ones, and that of transposed convolution in three dimensions.
// vq-cpu's kernels take dilations; elsewhere the filter is spread out by zeros, which makes the dilation 1.

type Attributes = Record<string, unknown>

/** Whether the active backend's gradient kernels take dilations. */
const takesDilations = (): boolean => hasKernel('VqConv2d')

function rates(dilations: unknown, axes: number): number[] {
  if (dilations === undefined || dilations === null) return new Array<number>(axes).fill(1)
  return typeof dilations === 'number' ? new Array<number>(axes).fill(dilations) : (dilations as number[])
}

const spreadSize = (size: number, rate: number): number => (size - 1) * rate + 1

/** Spatial axes of a filter's shape, spread by the rates. */
function spreadShape(shape: readonly number[], rate: readonly number[]): number[] {
  return shape.map((d, i) => (i < rate.length ? spreadSize(d, rate[i]) : d))
}

/** Zeros between the taps of a filter, `rate` − 1 on each spatial axis. */
export function spreadFilter<T extends tf.Tensor>(filter: T, rate: readonly number[]): T {
  return tf.tidy(() => {
    let out: tf.Tensor = filter
    for (const [axis, r] of rate.entries()) {
      if (r === 1) continue
      const { shape } = out
      const lead = shape.slice(0, axis).reduce((a, b) => a * b, 1)
      const rest = shape.slice(axis + 1).reduce((a, b) => a * b, 1)
      const apart = tf.pad(tf.reshape(out, [lead, shape[axis], 1, rest]), [[0, 0], [0, 0], [0, r - 1], [0, 0]]) // biome-ignore format: pairs
      const size = spreadSize(shape[axis], r)
      const cut = tf.slice(tf.reshape(apart, [lead, shape[axis] * r, rest]), [0, 0, 0], [lead, size, rest])
      out = tf.reshape(cut, [...shape.slice(0, axis), size, ...shape.slice(axis + 1)])
    }
    return (out === filter ? tf.clone(filter) : out) as T
  })
}

/** The inverse of `spreadFilter`: every `rate`-th tap. */
function gather(filter: tf.Tensor, rate: readonly number[], shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => {
    let out = filter
    for (const [axis, r] of rate.entries()) {
      if (r === 1) continue
      const at = tf.tensor1d(Array.from({ length: shape[axis] }, (_, i) => i * r), 'int32') // biome-ignore format: short
      out = tf.gather(out, at, axis)
    }
    return out === filter ? tf.clone(filter) : out
  })
}

interface Kernels {
  input: string
  filter: string
  axes: number
}

/** The gradient by the input, of shape `inputShape`. */
function byInput(
  kernels: Kernels,
  dy: tf.Tensor,
  filter: tf.Tensor,
  inputShape: number[],
  attrs: Attributes,
): tf.Tensor {
  const rate = rates(attrs.dilations, kernels.axes)
  if (takesDilations() || rate.every(r => r === 1))
    return runKernel(kernels.input, { dy, filter }, { ...attrs, dilations: rate, inputShape })
  return tf.tidy(() =>
    runKernel(
      kernels.input,
      { dy, filter: spreadFilter(filter, rate) },
      { ...attrs, dilations: rate.map(() => 1), inputShape },
    ),
  )
}

/** The gradient by the filter, of shape `filterShape`. */
function byFilter(
  kernels: Kernels,
  x: tf.Tensor,
  dy: tf.Tensor,
  filterShape: number[],
  attrs: Attributes,
): tf.Tensor {
  const rate = rates(attrs.dilations, kernels.axes)
  if (takesDilations() || rate.every(r => r === 1))
    return runKernel(kernels.filter, { x, dy }, { ...attrs, dilations: rate, filterShape })
  return tf.tidy(() => {
    const wide = { ...attrs, dilations: rate.map(() => 1), filterShape: spreadShape(filterShape, rate) }
    return gather(runKernel(kernels.filter, { x, dy }, wide), rate, filterShape)
  })
}

/** Gradients of a convolution kernel over x and filter. */
function registerConvolution(kernelName: string, kernels: Kernels): void {
  tf.registerGradient({
    kernelName,
    inputsToSave: ['x', 'filter'],
    gradFunc: (dy, saved, attrs) => {
      const [x, filter] = saved
      const g = dy as tf.Tensor
      const given = attrs as unknown as Attributes
      return {
        x: () => byInput(kernels, g, filter, x.shape, given),
        filter: () => byFilter(kernels, x, g, filter.shape, given),
      }
    },
  })
}

/** Gradients of the kernel that gives a convolution's gradient by its input, which is transposed convolution. */
function registerTransposed(forward: string, kernels: Kernels): void {
  tf.registerGradient({
    kernelName: kernels.input,
    inputsToSave: ['dy', 'filter'],
    gradFunc: (ddx, saved, attrs) => {
      const [dy, filter] = saved
      const g = ddx as tf.Tensor
      const { inputShape: _, ...given } = attrs as unknown as Attributes
      return {
        dy: () =>
          runKernel(forward, { x: g, filter }, { ...given, dilations: rates(given.dilations, kernels.axes) }),
        filter: () => byFilter(kernels, g, dy, filter.shape, given),
      }
    },
  })
}

const planar: Kernels = { input: 'Conv2DBackpropInput', filter: 'Conv2DBackpropFilter', axes: 2 }
const spatial: Kernels = { input: 'Conv3DBackpropInputV2', filter: 'Conv3DBackpropFilterV2', axes: 3 }
const depthwise: Kernels = {
  input: 'DepthwiseConv2dNativeBackpropInput',
  filter: 'DepthwiseConv2dNativeBackpropFilter',
  axes: 2,
}

type Convolution = 'Conv2D' | 'Conv3D' | 'DepthwiseConv2dNative'
const kernelsOf: Record<Convolution, Kernels> = {
  Conv2D: planar,
  Conv3D: spatial,
  DepthwiseConv2dNative: depthwise,
}

/** Transposed convolution: the gradient of `convolution` by its input of shape `inputShape`, itself differentiable. */
export function convolutionByInput(
  convolution: Convolution,
  dy: tf.Tensor,
  filter: tf.Tensor,
  inputShape: number[],
  attrs: Attributes,
): tf.Tensor {
  return byInput(kernelsOf[convolution], dy, filter, inputShape, attrs)
}

registerConvolution('Conv2D', planar)
registerConvolution('Conv3D', spatial)
registerConvolution('DepthwiseConv2dNative', depthwise)
registerTransposed('Conv2D', planar)
registerTransposed('Conv3D', spatial)
registerTransposed('DepthwiseConv2dNative', depthwise)
