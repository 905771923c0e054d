import { backend_util, type TensorInfo, upcastType } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { Inputs, Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { binary, cast, elementwise, fill } from './elementwise.js'

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
  attrs: Record<string, unknown>,
): ConvInfo {
  if (attrs.dataFormat !== undefined && attrs.dataFormat !== 'NHWC')
    throw new VqShapeError({
      operation: `kernel ${operation} on vq-cpu`,
      expected: "dataFormat 'NHWC'",
      received: `dataFormat '${attrs.dataFormat}'`,
      remedy: 'Transpose images to [batch, height, width, channels].',
    })
  return backend_util.computeConv2DInfo(
    x as [number, number, number, number],
    filter as [number, number, number, number],
    attrs.strides as number,
    (attrs.dilations as number | undefined) ?? 1,
    attrs.pad as number,
    attrs.dimRoundingMode as 'floor',
    false,
    'channelsLast',
  )
}

/** Applies a named activation of tfjs's fused kernels; x is disposed unless it is the result. */
function activate(
  backend: VqCpuBackend,
  x: TensorInfo,
  attrs: Record<string, unknown>,
  prelu?: TensorInfo,
): TensorInfo {
  const name = attrs.activation as string | undefined
  if (name === undefined || name === null || name === 'linear') return x
  if (name === 'prelu' && prelu !== undefined) {
    const out = binary(backend, 'Prelu', x, prelu)
    backend.disposeData(x.dataId)
    return out
  }
  const kernels: Record<string, string> = {
    relu: 'Relu',
    relu6: 'Relu6',
    elu: 'Elu',
    sigmoid: 'Sigmoid',
    leakyrelu: 'LeakyRelu',
  }
  if (!(name in kernels))
    throw new VqShapeError({
      operation: 'fused kernel on vq-cpu',
      expected: `an activation of ${Object.keys(kernels).join(', ')}`,
      received: `'${name}'${prelu ? ' with weights' : ''}`,
      remedy: 'Apply the activation as an operation of its own.',
    })
  const out = elementwise[kernels[name]]({ x }, { alpha: attrs.leakyreluAlpha }, backend) as TensorInfo
  backend.disposeData(x.dataId)
  return out
}

function conv2d(backend: VqCpuBackend, inputs: Inputs, attrs: Record<string, unknown>): TensorInfo {
  const { x, filter, bias, preluActivationWeights } = inputs
  const info = convInfo('Conv2D', x.shape, filter.shape, attrs)
  const relu = attrs.activation === 'relu'
  const fits = bias === undefined || bias === null || sizeOf(bias.shape) === info.outChannels
  let out = backend.allocate(info.outShape, 'float32')
  backend.run('Conv2D', ...convolutionArguments(info), relu && fits, x, filter, fits ? bias : null, out)
  if (!fits) {
    const sum = binary(backend, 'Add', out, bias)
    backend.disposeData(out.dataId)
    out = sum
  }
  return relu && fits ? out : activate(backend, out, attrs, preluActivationWeights)
}

export function batchMatMul(
  backend: VqCpuBackend,
  a: TensorInfo,
  b: TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
): TensorInfo {
  const [ra, rb] = [a.shape.length, b.shape.length]
  const m = a.shape[ra - (transposeA ? 1 : 2)]
  const k = a.shape[ra - (transposeA ? 2 : 1)]
  const n = b.shape[rb - (transposeB ? 2 : 1)]
  const kb = b.shape[rb - (transposeB ? 1 : 2)]
  const [lead, leadB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)]
  const [batchA, batchB] = [sizeOf(lead), sizeOf(leadB)]
  const shape = [...backend_util.assertAndGetBroadcastShape(lead, leadB), m, n]
  if (k !== kb)
    throw new VqShapeError({
      operation: 'BatchMatMul',
      expected: 'equal inner sizes',
      received: `[${a.shape}]${transposeA ? 'ᵀ' : ''} · [${b.shape}]${transposeB ? 'ᵀ' : ''}`,
      remedy: 'Transpose or broadcast one operand.',
    })
  // Whole numbers stay whole (float32 would round above 2^24); beside a float they become floats.
  const dtype = upcastType(upcastType(a.dtype, b.dtype), 'int32')
  if (a.dtype !== dtype || b.dtype !== dtype) {
    const [left, right] = [cast(backend, a, dtype), cast(backend, b, dtype)]
    const out = batchMatMul(backend, left, right, transposeA, transposeB)
    for (const x of [left, right]) backend.disposeData(x.dataId)
    return out
  }
  const batch = sizeOf(shape.slice(0, -2))
  if ((batchA !== batch && batchA !== 1) || (batchB !== batch && batchB !== 1)) {
    const whole = [a, b].map(x => broadcastTo(backend, x, [...shape.slice(0, -2), ...x.shape.slice(-2)]))
    const out = batchMatMul(backend, whole[0], whole[1], transposeA, transposeB)
    for (const x of whole) backend.disposeData(x.dataId)
    return out
  }
  const out = backend.allocate(shape, dtype)
  const name = dtype === 'float32' ? 'MatMul' : 'MatMulInt32'
  backend.run(name, batch, batchA, batchB, m, n, k, transposeA, transposeB, a, b, out)
  return out
}

function broadcastTo(backend: VqCpuBackend, x: TensorInfo, shape: number[]): TensorInfo {
  const zero = fill(backend, shape, x.dtype, 0)
  const out = binary(backend, 'Add', zero, x)
  backend.disposeData(zero.dataId)
  return out
}

const fusedMatMul: Kernel = ({ a, b, bias, preluActivationWeights }, attrs, backend) => {
  let out = batchMatMul(backend, a, b, attrs.transposeA === true, attrs.transposeB === true)
  if (bias !== undefined && bias !== null) {
    const sum = binary(backend, 'Add', out, bias)
    backend.disposeData(out.dataId)
    out = sum
  }
  return activate(backend, out, attrs, preluActivationWeights)
}

/** Convolutions and matrix products. */
export const linear: KernelTable = {
  Conv2D: ({ x, filter }, attrs, backend) => conv2d(backend, { x, filter }, attrs),
  FusedConv2D: (inputs, attrs, backend) => conv2d(backend, inputs, attrs),
  Conv2DBackpropInput: ({ dy, filter }, attrs, backend) => {
    const info = convInfo('Conv2DBackpropInput', attrs.inputShape as number[], filter.shape, attrs)
    const out = backend.allocate(info.inShape, 'float32')
    backend.run('Conv2DBackpropInput', ...convolutionArguments(info), dy, filter, null, out)
    return out
  },
  Conv2DBackpropFilter: ({ x, dy }, attrs, backend) => {
    const info = convInfo('Conv2DBackpropFilter', x.shape, attrs.filterShape as number[], attrs)
    const out = backend.allocate(info.filterShape, 'float32')
    backend.run('Conv2DBackpropFilter', ...convolutionArguments(info), x, dy, out)
    return out
  },
  BatchMatMul: ({ a, b }, { transposeA, transposeB }, backend) =>
    batchMatMul(backend, a, b, transposeA === true, transposeB === true),
  _FusedMatMul: fusedMatMul,
}
