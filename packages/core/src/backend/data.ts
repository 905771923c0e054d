import type { DataId, DataType, TensorInfo } from '@tensorflow/tfjs-core'

/** What stands behind a data id of ours: a native buffer, or JavaScript values where the dtype is string. */
export class NativeData {
  refs = 1
  readonly dtype: DataType
  readonly size: number
  readonly handle: number
  readonly strings: Uint8Array[] | undefined

  constructor(dtype: DataType, size: number, handle: number, strings?: Uint8Array[]) {
    this.dtype = dtype
    this.size = size
    this.handle = handle
    this.strings = strings
  }
}

export type TypedValues = Float32Array | Int32Array | Uint8Array

export function bytesPerElement(dtype: DataType): number {
  return dtype === 'bool' ? 1 : 4
}

export function sizeOf(shape: readonly number[]): number {
  let n = 1
  for (const d of shape) n *= d
  return n
}

export type { DataId, TensorInfo }
