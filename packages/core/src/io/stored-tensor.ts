/** Element types that files hold, by safetensors' names; C128 is of PyTorch and NumPy alone. */
export type StoredType =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'U16'
  | 'I16'
  | 'U32'
  | 'I32'
  | 'U64'
  | 'I64'
  | 'F4'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'F8_E4M3FNUZ'
  | 'F8_E5M2FNUZ'
  | 'F8_E8M0'
  | 'F16'
  | 'BF16'
  | 'F32'
  | 'F64'
  | 'C64'
  | 'C128'

export type StoredArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array

/** The array that holds the values of each element type. */
export const arraysOf: Readonly<Record<StoredType, { new (length: number): StoredArray }>> = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F4: Float32Array,
  F6_E2M3: Float32Array,
  F6_E3M2: Float32Array,
  F8_E4M3: Float32Array,
  F8_E5M2: Float32Array,
  F8_E4M3FNUZ: Float32Array,
  F8_E5M2FNUZ: Float32Array,
  F8_E8M0: Float32Array,
  F16: Float32Array,
  BF16: Float32Array,
  F32: Float32Array,
  F64: Float64Array,
  C64: Float32Array,
  C128: Float64Array,
}

/**
 * A tensor outside of any backend: what files hold and state dictionaries are made of. `dtype` is the type on disk; `data`
 * holds the numbers themselves, row-major, in the smallest array of JavaScript that has all of them exactly: F16, BF16 and
 * the smaller floats in a Float32Array, BOOL as 0 and 1. Complex numbers are two elements each, real and imaginary.
 */
export interface StoredTensor {
  dtype: StoredType
  shape: number[]
  data: StoredArray
}

/** Names to tensors, in a module's order. */
export type StateDict = Record<string, StoredTensor>

/** What a file says of a tensor before its values are read. */
export interface TensorEntry {
  dtype: StoredType
  shape: number[]
}

/** An open file of tensors, read one at a time. Close it when done. */
export interface TensorFile {
  /** By name, in the file's order. */
  readonly entries: ReadonlyMap<string, TensorEntry>
  /** The file's free strings; empty where the format has none. */
  readonly metadata: Readonly<Record<string, string>>
  /** Reads one tensor. Throws VqConfigError for a name that is not there, VqFormatError where the file breaks its promises. */
  read(name: string): Promise<StoredTensor>
  close(): Promise<void>
}

/** Number of array elements per value: 2 for complex types. */
export function elementsPerValue(dtype: StoredType): 1 | 2 {
  return dtype === 'C64' || dtype === 'C128' ? 2 : 1
}

/** Whether the values are real floating-point numbers. */
export function isFloat(dtype: StoredType): boolean {
  return dtype.startsWith('F') || dtype === 'BF16'
}
