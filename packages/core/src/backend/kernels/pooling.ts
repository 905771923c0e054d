import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { dtypeCode } from '../data.js'
import type { Attributes, Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast } from './elementwise.js'
import { checkInfo, expectSize, onFloats, turnInto, windowArguments } from './windows.js'

type Info = backend_util.Conv2DInfo | backend_util.Conv3DInfo

function info2d(operation: string, shape: readonly number[], attrs: Attributes): backend_util.Conv2DInfo {
  const { filterSize, strides, pad, dimRoundingMode } = attrs as Record<string, never>
  return checkInfo(
    operation,
    backend_util.computePool2DInfo(shape as never, filterSize, strides, 1, pad, dimRoundingMode),
  )
}

function info3d(operation: string, shape: readonly number[], attrs: Attributes): backend_util.Conv3DInfo {
  const { filterSize, strides, pad, dimRoundingMode, dataFormat } = attrs as Record<string, never>
  // As tfjs's ops do, only the last axis serves as channels.
  return checkInfo(
    operation,
    backend_util.computePool3DInfo(shape as never, filterSize, strides, 1, pad, dimRoundingMode, dataFormat),
  )
}

/** Runs a pooling kernel in the dtype of x; bool goes through int32. */
function pool(
  backend: VqCpuBackend,
  kernel: 'MaxPool' | 'AvgPool',
  x: TensorInfo,
  info: Info,
  after: number[],
): TensorInfo {
  const source = cast(backend, x, x.dtype === 'bool' ? 'int32' : x.dtype)
  const out = backend.allocate(info.outShape, source.dtype)
  backend.run(kernel, dtypeCode(source.dtype), ...windowArguments(info), ...after, source, out)
  backend.disposeData(source.dataId)
  return turnInto(backend, out, x.dtype)
}

// A window of one pixel at every pixel changes nothing, NaN included.
const isIdentity = ({ filterHeight, filterWidth, inShape, outShape }: backend_util.Conv2DInfo): boolean =>
  filterHeight === 1 && filterWidth === 1 && inShape.every((d, i) => d === outShape[i])

const planar =
  (kernel: 'MaxPool' | 'AvgPool', after: number[]): Kernel =>
  ({ x }, attrs, backend) => {
    const info = info2d(kernel, x.shape, attrs)
    return isIdentity(info) ? backend.alias(x, x.shape) : pool(backend, kernel, x, info, after)
  }

const spatial =
  (kernel: 'MaxPool' | 'AvgPool', after: number[]): Kernel =>
  ({ x }, attrs, backend) =>
    turnInto(backend, pool(backend, kernel, x, info3d(`${kernel}3D`, x.shape, attrs), after), 'float32')

function maxGradient(
  backend: VqCpuBackend,
  name: string,
  info: Info,
  dy: TensorInfo,
  input: TensorInfo,
  last: boolean,
): TensorInfo {
  expectSize(name, 'dy', dy, info.outShape)
  return onFloats(backend, [input, dy], ([x, given]) => {
    const dx = backend.allocate(info.inShape, 'float32')
    backend.run('MaxPoolGrad', last, ...windowArguments(info), x, given, dx)
    return dx
  })
}

function meanGradient(backend: VqCpuBackend, name: string, info: Info, dy: TensorInfo): TensorInfo {
  expectSize(name, 'dy', dy, info.outShape)
  return onFloats(backend, [dy], ([given]) => {
    const dx = backend.allocate(info.inShape, 'float32')
    backend.run('AvgPoolGrad', ...windowArguments(info), given, dx)
    return dx
  })
}

/**
 * Pooling. NaN never is a maximum, and a window outside the image gives −∞, or NaN as its mean in two dimensions and 0 in
 * three: as on tfjs's plain backend. Unlike there, a mean's gradient counts the pixels that the mean counted.
 */
export const pooling: KernelTable = {
  MaxPool: planar('MaxPool', []),
  AvgPool: planar('AvgPool', [Number.NaN]),
  MaxPool3D: spatial('MaxPool', []),
  AvgPool3D: spatial('AvgPool', [0]),
  MaxPoolGrad: ({ dy, input }, attrs, backend) =>
    maxGradient(backend, 'MaxPoolGrad', info2d('MaxPoolGrad', input.shape, attrs), dy, input, false),
  MaxPool3DGrad: ({ dy, input }, attrs, backend) =>
    maxGradient(backend, 'MaxPool3DGrad', info3d('MaxPool3DGrad', input.shape, attrs), dy, input, true),
  AvgPoolGrad: ({ dy, input }, attrs, backend) =>
    meanGradient(backend, 'AvgPoolGrad', info2d('AvgPoolGrad', input.shape, attrs), dy),
  AvgPool3DGrad: ({ dy, input }, attrs, backend) =>
    meanGradient(backend, 'AvgPool3DGrad', info3d('AvgPool3DGrad', input.shape, attrs), dy),
  MaxPoolWithArgmax: ({ x }, attrs, backend) => {
    const info = info2d('MaxPoolWithArgmax', x.shape, attrs)
    const source = cast(backend, x, x.dtype === 'bool' ? 'int32' : x.dtype)
    const positions = backend.allocate(info.outShape, 'int32')
    const images = attrs.includeBatchInIndex === true
    const code = dtypeCode(source.dtype)
    backend.run('MaxPoolPositions', images, code, ...windowArguments(info), source, positions)
    backend.disposeData(source.dataId)
    return [pool(backend, 'MaxPool', x, info, []), positions]
  },
}
