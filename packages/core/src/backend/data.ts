import type { DataId, DataType, TensorInfo } from '@tensorflow/tfjs-core'
import { VqDeviceError } from '../errors.js'

/** What stands behind a data id of ours: a native buffer, two of them for complex64, or JavaScript values for strings. */
export class NativeData {
  refs = 1
  /** What is left to free when this object is forgotten; there once it has lived for a while (forgotten.ts). */
  estate: Estate | undefined = undefined
  /** Part of a complex tensor: it is freed with that. */
  inner = false
  readonly dtype: DataType
  readonly size: number
  readonly handle: number
  readonly strings: Uint8Array[] | undefined
  /** Real and imaginary part, a reference to each held by this. */
  readonly parts: readonly [NativeData, NativeData] | undefined

  constructor(
    dtype: DataType,
    size: number,
    handle: number,
    strings?: Uint8Array[],
    parts?: readonly [NativeData, NativeData],
  ) {
    this.dtype = dtype
    this.size = size
    this.handle = handle
    this.strings = strings
    this.parts = parts
  }

  /** What tfjs counts for one tensor over this: nothing for complex numbers. */
  get bytes(): number {
    const held = this.parts === undefined && this.strings === undefined
    return held ? this.size * bytesPerElement(this.dtype) : 0
  }
}

export interface Estate {
  readonly handles: readonly number[]
  /** How many data ids of ours end with it. */
  readonly ids: number
  readonly bytes: number
  refs: number
}

/** How the native core numbers element types (native/include/vq/dtype.h). */
export function dtypeCode(dtype: DataType): number {
  if (dtype === 'float32') return 0
  if (dtype === 'int32') return 1
  if (dtype === 'bool') return 2
  throw new VqDeviceError({
    operation: 'vq-cpu',
    expected: 'tensors of float32, int32 or bool',
    received: `a tensor of ${dtype}`,
    remedy: `Convert it first, or compute on ${dtype} with tf.setBackend('cpu').`,
  })
}

/** Row-major strides. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= shape[i]
  }
  return strides
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
