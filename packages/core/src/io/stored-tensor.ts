/** Element types that files of ours hold, by safetensors' names. */
export type StoredType = 'F32' | 'I32' | 'I64' | 'U8' | 'BOOL'

/** A tensor outside of any backend: what files hold and state dictionaries are made of. */
export interface StoredTensor {
  dtype: StoredType
  shape: number[]
  /** Row-major. BOOL is one byte each, 0 or 1. */
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array
}

/** Names to tensors, in a module's order. */
export type StateDict = Record<string, StoredTensor>
