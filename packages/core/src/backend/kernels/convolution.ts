import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { expectShape } from '../../check.js'
import { sizeOf } from '../data.js'
import type { Attributes, Inputs, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { activate } from './activation.js'
import { binary } from './elementwise.js'
import { transpose } from './movement.js'
import { checkInfo, expectSize, onFloats, turnInto, windowArguments } from './windows.js'

type ConvInfo = backend_util.Conv2DInfo

/** The sizes that native convolution kernels read first. */
export function convolutionArguments(info: ConvInfo): number[] {
  return [
    info.batchSize, info.inHeight, info.inWidth, info.inChannels, info.outHeight, info.outWidth, info.outChannels,
    info.filterHeight, info.filterWidth, info.strideHeight, info.strideWidth, info.dilationHeight, info.dilationWidth,
    info.padInfo.top, info.padInfo.bottom, info.padInfo.left, info.padInfo.right,
  ] // biome-ignore format: seventeen sizes
}

export function convInfo(
  operation: string,
  x: readonly number[],
  filter: readonly number[],
  attrs: Attributes,
  depthwise = false,
): ConvInfo {
  const info = backend_util.computeConv2DInfo(
    x as [number, number, number, number],
    filter as [number, number, number, number],
    attrs.strides as number,
    (attrs.dilations as number | undefined) ?? 1,
    attrs.pad as number,
    attrs.dimRoundingMode as 'floor',
    depthwise,
    backend_util.convertConv2DDataFormat((attrs.dataFormat as 'NHWC' | undefined) ?? 'NHWC'),
  )
  expectShape(
    info.inChannels === filter[2],
    `kernel ${operation} on vq-cpu`,
    `a filter for ${info.inChannels} channels`,
    `filter [${filter}]`,
    'The filter is [height, width, channels in, channels out].',
  )
  return checkInfo(operation, info)
}

const isFirst = (info: ConvInfo): boolean => info.dataFormat === 'channelsFirst'
const inLast = (i: ConvInfo): number[] => [i.batchSize, i.inHeight, i.inWidth, i.inChannels]
const outLast = (i: ConvInfo): number[] => [i.batchSize, i.outHeight, i.outWidth, i.outChannels]

/** The kernels work on NHWC: x is copied into it from NCHW, or aliased. */
function toLast(backend: VqCpuBackend, info: ConvInfo, x: TensorInfo): TensorInfo {
  return isFirst(info) ? transpose(backend, x, [0, 2, 3, 1]) : backend.alias(x, x.shape)
}

/** Back to the caller's format; x is disposed unless it is the result. */
function fromLast(backend: VqCpuBackend, info: ConvInfo, x: TensorInfo): TensorInfo {
  if (!isFirst(info)) return x
  const out = transpose(backend, x, [0, 3, 1, 2])
  backend.disposeData(x.dataId)
  return out
}

/** A vector over channels, as it broadcasts over the caller's format. */
function overChannels(info: ConvInfo, x: TensorInfo): TensorInfo {
  return isFirst(info) && x.shape.length === 1 && x.shape[0] !== 1 ? { ...x, shape: [x.shape[0], 1, 1] } : x
}

const present = (x: TensorInfo | undefined | null): x is TensorInfo => x !== undefined && x !== null

/** Whether a bias is one number per output channel, which the native kernels add themselves. */
function isPerChannel(info: ConvInfo, bias: TensorInfo): boolean {
  const { shape } = bias
  return (
    sizeOf(shape) === info.outChannels && shape.length > 0 && shape[shape.length - 1] === info.outChannels
  )
}

/** Adds what is left of bias and activation. */
function finish(
  backend: VqCpuBackend,
  info: ConvInfo,
  y: TensorInfo,
  bias: TensorInfo | undefined,
  activation: Attributes,
  alpha: TensorInfo | undefined,
): TensorInfo {
  let out = y
  if (present(bias)) {
    out = binary(backend, 'Add', y, overChannels(info, bias))
    backend.disposeData(y.dataId)
  }
  return activate(backend, out, activation, present(alpha) ? overChannels(info, alpha) : undefined)
}

function conv2d(backend: VqCpuBackend, inputs: Inputs, attrs: Attributes): TensorInfo {
  const { x, filter, bias, preluActivationWeights } = inputs
  const info = convInfo('Conv2D', x.shape, filter.shape, attrs)
  const fits = !present(bias) || isPerChannel(info, bias)
  const relu = fits && attrs.activation === 'relu'
  const y = onFloats(backend, present(bias) && fits ? [x, filter, bias] : [x, filter], ([image, w, b]) => {
    const last = toLast(backend, info, image)
    const out = backend.allocate(outLast(info), 'float32')
    backend.run('Conv2D', ...convolutionArguments(info), relu, last, w, b, out)
    backend.disposeData(last.dataId)
    return turnInto(backend, fromLast(backend, info, out), x.dtype)
  })
  return finish(backend, info, y, fits ? undefined : bias, relu ? {} : attrs, preluActivationWeights)
}

function depthwise(backend: VqCpuBackend, inputs: Inputs, attrs: Attributes): TensorInfo {
  const { x, filter, bias, preluActivationWeights } = inputs
  const info = depthwiseInfo('DepthwiseConv2dNative', x.shape, filter.shape, attrs)
  const fits = !present(bias) || isPerChannel(info, bias)
  const native = fits ? ['relu', 'relu6'].indexOf(attrs.activation as string) + 1 : 0
  const y = onFloats(backend, present(bias) && fits ? [x, filter, bias] : [x, filter], ([image, w, b]) => {
    const out = backend.allocate(info.outShape, 'float32')
    backend.run('DepthwiseConv2D', ...windowArguments(info), filter.shape[3], native, image, w, b, out)
    return turnInto(backend, out, x.dtype)
  })
  return finish(backend, info, y, fits ? undefined : bias, native > 0 ? {} : attrs, preluActivationWeights)
}

function depthwiseInfo(
  operation: string,
  x: readonly number[],
  filter: readonly number[],
  attrs: Attributes,
): ConvInfo {
  // tfjs's own backends take depthwise images for NHWC whatever dataFormat says; that would be silently wrong.
  expectShape(
    (attrs.dataFormat ?? 'NHWC') === 'NHWC',
    `kernel ${operation} on vq-cpu`,
    "dataFormat 'NHWC'",
    `'${attrs.dataFormat}'`,
    'Transpose images to [batch, height, width, channels].',
  )
  return convInfo(operation, x, filter, attrs, true)
}

/** Two-dimensional convolutions, full and depthwise, and their gradients. */
export const convolution: KernelTable = {
  Conv2D: ({ x, filter }, attrs, backend) =>
    conv2d(backend, { x, filter }, { ...attrs, activation: undefined }),
  FusedConv2D: (inputs, attrs, backend) => conv2d(backend, inputs, attrs),
  Conv2DBackpropInput: ({ dy, filter }, attrs, backend) => {
    const info = convInfo('Conv2DBackpropInput', attrs.inputShape as number[], filter.shape, attrs)
    expectSize('Conv2DBackpropInput', 'dy', dy, info.outShape)
    return onFloats(backend, [dy, filter], ([given, w]) => {
      const last = toLast(backend, info, given)
      const out = backend.allocate(inLast(info), 'float32')
      backend.run('Conv2DBackpropInput', ...convolutionArguments(info), last, w, null, out)
      backend.disposeData(last.dataId)
      return fromLast(backend, info, out)
    })
  },
  Conv2DBackpropFilter: ({ x, dy }, attrs, backend) => {
    const info = convInfo('Conv2DBackpropFilter', x.shape, attrs.filterShape as number[], attrs)
    expectSize('Conv2DBackpropFilter', 'dy', dy, info.outShape)
    return onFloats(backend, [x, dy], ([image, given]) => {
      const [lastX, lastDy] = [toLast(backend, info, image), toLast(backend, info, given)]
      const out = backend.allocate(info.filterShape, 'float32')
      backend.run('Conv2DBackpropFilter', ...convolutionArguments(info), lastX, lastDy, out)
      backend.disposeData(lastX.dataId)
      backend.disposeData(lastDy.dataId)
      return out
    })
  },
  DepthwiseConv2dNative: ({ x, filter }, attrs, backend) =>
    depthwise(backend, { x, filter }, { ...attrs, activation: undefined }),
  FusedDepthwiseConv2D: (inputs, attrs, backend) => depthwise(backend, inputs, attrs),
  DepthwiseConv2dNativeBackpropInput: ({ dy, filter }, attrs, backend) => {
    const name = 'DepthwiseConv2dNativeBackpropInput'
    const info = depthwiseInfo(name, attrs.inputShape as number[], filter.shape, attrs)
    expectSize(name, 'dy', dy, info.outShape)
    return onFloats(backend, [dy, filter], ([given, w]) => {
      const out = backend.allocate(info.inShape, 'float32')
      backend.run('DepthwiseConv2DBackpropInput', ...windowArguments(info), filter.shape[3], given, w, out)
      return out
    })
  },
  DepthwiseConv2dNativeBackpropFilter: ({ x, dy }, attrs, backend) => {
    const name = 'DepthwiseConv2dNativeBackpropFilter'
    const info = depthwiseInfo(name, x.shape, attrs.filterShape as number[], attrs)
    expectSize(name, 'dy', dy, info.outShape)
    return onFloats(backend, [x, dy], ([image, given]) => {
      const out = backend.allocate(info.filterShape, 'float32')
      const multiplier = info.filterShape[3]
      backend.run('DepthwiseConv2DBackpropFilter', ...windowArguments(info), multiplier, image, given, out)
      return out
    })
  },
}
