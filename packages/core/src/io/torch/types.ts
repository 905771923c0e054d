import { PickleGlobal } from '../pickle/values.js'
import type { StoredType } from '../stored-tensor.js'

/** PyTorch's element types, by the names after `torch.`. */
export const torchTypes: Readonly<Record<string, StoredType>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  float8_e4m3fnuz: 'F8_E4M3FNUZ',
  float8_e5m2fnuz: 'F8_E5M2FNUZ',
  float8_e8m0fnu: 'F8_E8M0',
  uint8: 'U8',
  int8: 'I8',
  uint16: 'U16',
  int16: 'I16',
  uint32: 'U32',
  int32: 'I32',
  uint64: 'U64',
  int64: 'I64',
  bool: 'BOOL',
  complex64: 'C64',
  complex128: 'C128',
}

const storageTypes: Readonly<Record<string, StoredType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  ByteStorage: 'U8',
  CharStorage: 'I8',
  ShortStorage: 'I16',
  IntStorage: 'I32',
  LongStorage: 'I64',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
  ComplexDoubleStorage: 'C128',
}

/** `FloatStorage` and the others. */
export const storageNames: readonly string[] = Object.keys(storageTypes)

/** `torch.float32`: a type of elements, which the result has as this string. */
export class TorchType extends PickleGlobal {
  readonly stored: StoredType | undefined

  constructor(name: string, stored?: StoredType) {
    super(`torch.${name}`)
    this.stored = stored
  }
}

/** `torch.FloatStorage`: how persistent ids name the type of a storage. */
export class StorageType extends PickleGlobal {
  readonly stored: StoredType

  constructor(name: string, stored: StoredType) {
    super(name)
    this.stored = stored
  }
}

/** Types that may be mentioned, as in a configuration, but not be a tensor's. */
const without = ['complex32', 'quint8', 'qint8', 'qint32', 'quint4x2', 'quint2x4', 'float4_e2m1fn_x2']

export const typeGlobals: readonly (readonly [string, PickleGlobal])[] = [
  ...Object.entries(torchTypes).map(
    ([name, stored]) => [`torch ${name}`, new TorchType(name, stored)] as const,
  ),
  ...without.map(name => [`torch ${name}`, new TorchType(name)] as const),
  ...['torch', 'torch.cuda'].flatMap(module =>
    Object.entries(storageTypes).map(
      ([name, stored]) => [`${module} ${name}`, new StorageType(`${module}.${name}`, stored)] as const,
    ),
  ),
  ...[
    'torch.storage UntypedStorage',
    'torch.storage _UntypedStorage',
    'torch UntypedStorage',
    'torch _UntypedStorage',
  ].map(name => [name, new StorageType('torch.UntypedStorage', 'U8')] as const),
]
