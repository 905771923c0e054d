import type { backend_util, TensorInfo } from '@tensorflow/tfjs-core'
import { expectShape } from '../../check.js'
import { sizeOf } from '../data.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast } from './elementwise.js'

type Info2D = backend_util.Conv2DInfo
type Info3D = backend_util.Conv3DInfo

/** Throws unless the sizes that tfjs computed from shapes and attributes can be run. */
export function checkInfo<T extends Info2D | Info3D>(operation: string, info: T): T {
  const numbers = [...info.inShape, ...info.outShape, ...info.filterShape, ...Object.values(info.padInfo)]
  const steps = [info.strideHeight, info.strideWidth, info.dilationHeight, info.dilationWidth]
  if ('strideDepth' in info) steps.push(info.strideDepth, info.dilationDepth)
  const whole = [...numbers, ...steps].every(n => typeof n === 'string' || Number.isInteger(n))
  expectShape(
    whole && info.outShape.every(n => n >= 0) && steps.every(n => n >= 1),
    `kernel ${operation} on vq-cpu`,
    'whole sizes, strides and dilations of at least 1, and a window no larger than the padded input',
    `input [${info.inShape}], filter [${info.filterShape}], output [${info.outShape}], strides and dilations [${steps}]`,
    'Check filter size, strides, dilations and padding.',
  )
  info.outShape = info.outShape.map(n => n + 0) as typeof info.outShape // no −0
  return info
}

/** Throws unless a tensor has the number of elements that the operation's sizes ask for. */
export function expectSize(operation: string, name: string, x: TensorInfo, shape: readonly number[]): void {
  expectShape(
    sizeOf(x.shape) === sizeOf(shape),
    `kernel ${operation} on vq-cpu`,
    `${name} of shape [${shape}]`,
    `[${x.shape}]`,
    'Pass the shapes that belong together.',
  )
}

const alone = [1, 1, 1, 1, 1, 0]

/** The sizes that native window kernels read first (native/include/vq/window.h). */
export function windowArguments(info: Info2D | Info3D): number[] {
  const depth =
    'inDepth' in info
      ? [
          info.inDepth,
          info.outDepth,
          info.filterDepth,
          info.strideDepth,
          info.dilationDepth,
          info.padInfo.front,
        ]
      : alone
  return [
    info.batchSize, info.inChannels, ...depth,
    info.inHeight, info.outHeight, info.filterHeight, info.strideHeight, info.dilationHeight, info.padInfo.top,
    info.inWidth, info.outWidth, info.filterWidth, info.strideWidth, info.dilationWidth, info.padInfo.left,
  ] // biome-ignore format: rows of an axis each
}

/** Runs `body` on float32 copies of the tensors, or on the tensors where they are float32. */
export function onFloats(
  backend: VqCpuBackend,
  tensors: readonly TensorInfo[],
  body: (floats: TensorInfo[]) => TensorInfo,
): TensorInfo {
  const floats = tensors.map(t => cast(backend, t, 'float32'))
  const out = body(floats)
  for (const t of floats) backend.disposeData(t.dataId)
  return out
}

/** x in another dtype; x is disposed. */
export function turnInto(backend: VqCpuBackend, x: TensorInfo, dtype: TensorInfo['dtype']): TensorInfo {
  if (x.dtype === dtype) return x
  const out = cast(backend, x, dtype)
  backend.disposeData(x.dataId)
  return out
}
