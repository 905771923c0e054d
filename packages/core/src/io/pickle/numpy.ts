import { mostAxes, typesOf } from '../npy.js'
import { areFlags, bitsOf, bytesOf, countOf, decodeValues, isSize } from '../stored-bytes.js'
import { elementsPerValue, type StoredTensor, type StoredType } from '../stored-tensor.js'
import { rowMajor } from '../strides.js'
import { swapBytes } from '../swap-bytes.js'
import { PyComplex, unfit } from './builtins.js'
import { Flaw } from './flaw.js'
import { whole } from './literals.js'
import {
  type Globals,
  PickleGlobal,
  PickleObject,
  type PickleValue,
  PyBytes,
  PyTuple,
  type Spend,
  textOf,
  typeName,
} from './values.js'

/** `numpy.dtype`: numbers, or text for scalars of it. Its byte order comes later, by BUILD. */
class NumpyType extends PickleObject {
  readonly type = 'numpy.dtype'
  override readonly hashable = true
  readonly code: string
  #bigEndian = false

  constructor(code: string) {
    super()
    this.code = code
  }

  get bigEndian(): boolean {
    return this.#bigEndian
  }

  get stored(): StoredType {
    const stored = Object.hasOwn(typesOf, this.code) ? typesOf[this.code] : undefined
    if (stored === undefined)
      throw new Flaw(
        'NumPy arrays of booleans, whole numbers, floats or complex numbers',
        `elements of type '${this.code}'`,
        'Convert the array to numbers, or to a list, before saving.',
      )
    return stored
  }

  /** (version, byte order, …): the rest is of structures, whose codes are refused. */
  override setState(state: PickleValue): void {
    const order = state instanceof PyTuple ? textFrom(state.items[1] ?? null) : undefined
    if (order === undefined || !/^[<>|=]$/.test(order))
      throw new Flaw('the byte order of a NumPy type', typeName(state))
    this.#bigEndian = order === '>'
  }

  plain(): string {
    return `numpy.dtype:${this.code}`
  }
}

class NumpyArray extends PickleObject {
  readonly type = 'numpy.ndarray'
  readonly #spend: Spend
  #stored: StoredTensor | undefined

  constructor(spend: Spend, stored?: StoredTensor) {
    super()
    this.#spend = spend
    this.#stored = stored
  }

  /** ([version,] shape, type, whether in Fortran's order, bytes). */
  override setState(state: PickleValue): void {
    const items = state instanceof PyTuple ? state.items : []
    const [shape, type, fortran, bytes] = items.length === 5 ? items.slice(1) : items
    if (this.#stored !== undefined || typeof fortran !== 'boolean')
      throw new Flaw('the shape, type and bytes of one array', typeName(state))
    this.#stored = arrayOf(bytes, type, shape, fortran, this.#spend)
  }

  plain(): StoredTensor {
    if (this.#stored === undefined) throw new Flaw('an array with its values', 'one without')
    return this.#stored
  }
}

function arrayOf(
  bytes: PickleValue | undefined,
  type: PickleValue | undefined,
  shape: PickleValue | undefined,
  fortran: boolean,
  spend: Spend,
): StoredTensor {
  if (!(type instanceof NumpyType)) throw new Flaw('a NumPy type', typeName(type ?? null))
  const dtype = type.stored
  const sizes = shapeOf(shape ?? null)
  if (!(bytes instanceof PyBytes)) throw new Flaw("an array's values as bytes", typeName(bytes ?? null))
  if (bytes.length !== bytesOf(dtype, sizes))
    throw new Flaw(`the bytes of ${dtype} of shape [${sizes}]`, `${bytes.length} bytes`)
  // F16 is twice as wide in memory.
  spend(((dtype === 'F16' ? 3 : 1) * bytes.length) >> 4)
  const own = swapBytes(bytes.bytes.slice(), dtype, type.bigEndian)
  const ordered =
    fortran && sizes.length > 1 && countOf(sizes) > 0 ? rowMajor(own, sizes, bitsOf[dtype] / 8) : own
  if (dtype === 'BOOL' && !areFlags(ordered)) throw new Flaw('booleans of 0 and 1', 'other bytes')
  return { dtype, shape: sizes, data: decodeValues(dtype, ordered) }
}

function shapeOf(value: PickleValue): number[] {
  const items = value instanceof PyTuple ? value.items : typeof value === 'number' ? [value] : undefined
  if (items === undefined || items.length > mostAxes || !items.every(isSize))
    throw new Flaw(`the shape of an array of at most ${mostAxes} axes`, typeName(value))
  return [...items]
}

function textFrom(value: PickleValue): string | undefined {
  if (value instanceof PyBytes && value.kind === 'str') return textOf(value)
  return typeof value === 'string' ? value : undefined
}

function dtype(args: readonly PickleValue[]): NumpyType {
  const [code] = args
  const [, order, name] = /^([<>|=]?)([a-zA-Z]\d+)$/.exec(textFrom(code ?? null) ?? '') ?? []
  if (name === undefined || order === '>')
    throw new Flaw(
      'NumPy types of numbers',
      typeName(code ?? null),
      'Convert arrays of objects, structures and dates to numbers or lists before saving.',
    )
  return new NumpyType(name)
}

/** `scalar(type, bytes)`: a number, a boolean, text, or a complex number. */
function scalar(args: readonly PickleValue[], spend: Spend): PickleValue {
  const [type, bytes] = args
  if (!(type instanceof NumpyType) || !(bytes instanceof PyBytes) || args.length !== 2)
    throw unfit('numpy.scalar', args)
  if (/^U\d+$/.test(type.code)) return text(type, bytes, spend)
  if (/^S\d+$/.test(type.code)) return new PyBytes(bytes.bytes, 'bytes')
  const { data, dtype: stored } = arrayOf(bytes, type, new PyTuple([]), false, spend)
  if (elementsPerValue(stored) === 2) return new PyComplex(Number(data[0]), Number(data[1]))
  const [value] = data
  if (stored === 'BOOL') return value === 1
  return typeof value === 'bigint' ? whole(value) : value
}

function text(type: NumpyType, { bytes }: PyBytes, spend: Spend): string {
  spend(bytes.length >> 4)
  if (bytes.length % 4 !== 0) throw new Flaw('text of four bytes a character', `${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const codes = Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, !type.bigEndian))
  if (codes.some(code => code > 0x10ffff)) throw new Flaw('characters of Unicode', 'others')
  return codes
    .map(code => String.fromCodePoint(code))
    .join('')
    .replace(/\0+$/, '')
}

/** `_reconstruct(ndarray, (0,), b'b')`: an array whose state follows. */
function reconstruct(args: readonly PickleValue[], spend: Spend): NumpyArray {
  const [type] = args
  if (!(type instanceof PickleGlobal) || type.name !== 'numpy.ndarray' || args.length !== 3)
    throw unfit('numpy._reconstruct', args)
  return new NumpyArray(spend)
}

/** `_frombuffer(bytes, type, shape, order)`: protocol 5. */
function fromBuffer(args: readonly PickleValue[], spend: Spend): NumpyArray {
  const [bytes, type, shape, order] = args
  if (args.length !== 4 || (order !== 'C' && order !== 'F')) throw unfit('numpy._frombuffer', args)
  return new NumpyArray(spend, arrayOf(bytes, type, shape, order === 'F', spend))
}

const scalarTypes =
  `bool bool_ int8 int16 int32 int64 intc intp uint8 uint16 uint32 uint64 uintc uintp float16 float32 float64
  complex64 complex128`.split(/\s+/)

/** NumPy's arrays, scalars and types. `core` became `_core` in NumPy 2. */
export const numpy: Globals = new Map(
  [
    ...['numpy.core', 'numpy._core'].flatMap(core => [
      [`${core}.multiarray`, '_reconstruct', reconstruct] as const,
      [`${core}.multiarray`, 'scalar', scalar] as const,
      [`${core}.numeric`, '_frombuffer', fromBuffer] as const,
    ]),
    ['numpy', 'dtype', dtype] as const,
    ['numpy', 'ndarray', undefined] as const,
    ...scalarTypes.map(name => ['numpy', name, undefined] as const),
  ].map(([module, name, make]) => [`${module} ${name}`, new PickleGlobal(`${module}.${name}`, make)]),
)
