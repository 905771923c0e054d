import { Flaw } from '../pickle/flaw.js'
import { PickleObject, type PickleValue, PyDict, PyTuple } from '../pickle/values.js'
import { bitsOf, countOf } from '../stored-bytes.js'
import type { StoredType } from '../stored-tensor.js'

/** Bytes that tensors lie in: those of a whole storage, or a part of it. */
export class TorchStorage extends PickleObject {
  readonly type = 'torch storage'
  readonly key: string
  readonly dtype: StoredType
  /** Where it begins in the storage of that key, and how long it is. */
  readonly begin: number
  readonly bytes: number

  constructor(key: string, dtype: StoredType, begin: number, bytes: number) {
    super()
    this.key = key
    this.dtype = dtype
    this.begin = begin
    this.bytes = bytes
  }

  plain(): never {
    throw new Flaw('tensors', 'a bare storage')
  }
}

/** A tensor whose values are still in the file. Offset and strides are in elements. */
export class TorchTensor extends PickleObject {
  readonly type = 'torch.Tensor'
  readonly storage: TorchStorage
  readonly dtype: StoredType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
  /** Views that PyTorch leaves to be computed: to be conjugated, negated. */
  readonly conj: boolean
  readonly neg: boolean

  constructor(
    storage: TorchStorage,
    dtype: StoredType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
    conj = false,
    neg = false,
  ) {
    super()
    this.storage = storage
    this.dtype = dtype
    this.offset = offset
    this.shape = shape
    this.strides = strides
    this.conj = conj
    this.neg = neg
  }

  get count(): number {
    return countOf(this.shape)
  }

  /** Bytes of one value. */
  get width(): number {
    return bitsOf[this.dtype] / 8
  }

  /** Elements from the first to the last, with what lies between. */
  get span(): number {
    return this.count === 0 ? 0 : this.shape.reduce((sum, size, i) => sum + (size - 1) * this.strides[i], 1)
  }

  /** What `Parameter` and `Variable` of old versions add is no part of the values. */
  override setState(state: PickleValue): void {
    if (!(state instanceof PyTuple || state instanceof PyDict)) super.setState(state)
  }

  plain(): never {
    throw new Flaw('a tensor with its values', 'one without')
  }
}

/** All of a storage as a tensor of one axis. */
export function wholeOf(storage: TorchStorage): TorchTensor {
  return new TorchTensor(storage, storage.dtype, 0, [storage.bytes / (bitsOf[storage.dtype] / 8)], [1])
}
