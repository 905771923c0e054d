import { describe } from '../check.js'
import { VqShapeError, VqValueError } from '../errors.js'
import { fromBrain, fromHalf, oddWords, toBrain, toHalf } from './half.js'
import { isSmallFloat, narrowTable, type SmallFloat, wideTable } from './small-floats.js'
import {
  arraysOf,
  elementsPerValue,
  isFloat,
  type StoredArray,
  type StoredTensor,
  type StoredType,
} from './stored-tensor.js'

/** Bits of one value on disk. */
export const bitsOf: Readonly<Record<StoredType, number>> = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  U16: 16,
  I16: 16,
  U32: 32,
  I32: 32,
  U64: 64,
  I64: 64,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F8_E8M0: 8,
  F16: 16,
  BF16: 16,
  F32: 32,
  F64: 64,
  C64: 64,
  C128: 128,
}

/** Number of values of a shape; NaN where that is no safe integer. */
export function countOf(shape: readonly number[]): number {
  if (shape.includes(0)) return 0
  let count = 1
  for (const size of shape) count *= size
  return Number.isSafeInteger(count) ? count : Number.NaN
}

/** Bytes of a tensor on disk; NaN where that is no whole number or no safe integer. */
export function bytesOf(dtype: StoredType, shape: readonly number[]): number {
  const bytes = (countOf(shape) * bitsOf[dtype]) / 8
  return Number.isSafeInteger(bytes) ? bytes : Number.NaN
}

/**
 * The values that little-endian bytes hold. The array may be a view of `bytes`. F4 and F6 values lie bit by bit, low bits first.
 */
export function decodeValues(dtype: StoredType, bytes: Uint8Array<ArrayBuffer>): StoredArray {
  if (dtype === 'F16') return fromHalf(view(Uint16Array, bytes))
  if (dtype === 'BF16') return fromBrain(view(Uint16Array, bytes))
  if (isSmallFloat(dtype)) return widen(dtype, bytes)
  return view(arraysOf[dtype] as unknown as ArrayType<StoredArray>, bytes)
}

/** Whether values are wider in memory than on disk, as float32. */
export function widens(dtype: StoredType): boolean {
  return isFloat(dtype) && bitsOf[dtype] < 32
}

interface ArrayType<T> {
  new (buffer: ArrayBuffer, offset: number, length: number): T
  readonly BYTES_PER_ELEMENT: number
}

function view<T>(type: ArrayType<T>, bytes: Uint8Array<ArrayBuffer>): T {
  const size = type.BYTES_PER_ELEMENT
  const { buffer, byteOffset } = byteOffsetFits(bytes, size) ? bytes : bytes.slice()
  return new type(buffer, byteOffset, bytes.length / size)
}

const byteOffsetFits = (bytes: Uint8Array, size: number): boolean => bytes.byteOffset % size === 0

function widen(dtype: SmallFloat, bytes: Uint8Array): Float32Array {
  const table = wideTable(dtype)
  const codes = bitsOf[dtype] === 8 ? bytes : bitsOf[dtype] === 4 ? unpack4(bytes) : unpack6(bytes)
  const words = new Uint32Array(codes.length)
  for (let i = 0; i < words.length; i++) words[i] = table[codes[i]]
  return new Float32Array(words.buffer)
}

function unpack4(bytes: Uint8Array): Uint8Array {
  const codes = new Uint8Array(bytes.length * 2)
  for (let i = 0; i < bytes.length; i++) {
    codes[2 * i] = bytes[i] & 15
    codes[2 * i + 1] = bytes[i] >> 4
  }
  return codes
}

function unpack6(bytes: Uint8Array): Uint8Array {
  const codes = new Uint8Array(Math.floor((bytes.length * 4) / 3))
  for (let i = 0, j = 0; j < codes.length; i += 3, j += 4) {
    const group = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16)
    codes[j] = group & 63
    codes[j + 1] = (group >> 6) & 63
    codes[j + 2] = (group >> 12) & 63
    codes[j + 3] = group >> 18
  }
  return codes
}

/**
 * The little-endian bytes of values. Floats of any width become those of `dtype`, rounded to the nearest, ties to even.
 * For types of 4 and 6 bits the values fill whole bytes. The result may be a view of `data`.
 * Throws VqValueError for NaN and infinities where the type has neither, and for negative numbers as F8_E8M0.
 */
export function encodeValues(
  dtype: StoredType,
  data: StoredArray,
  operation: string = 'writing values',
): Uint8Array {
  if (dtype === 'F16') return bytesIn(toHalf(wordsOf(data)))
  if (dtype === 'BF16') return bytesIn(toBrain(wordsOf(data)))
  if (isSmallFloat(dtype)) return pack(bitsOf[dtype], narrow(operation, dtype, data))
  return bytesIn(data instanceof arraysOf[dtype] ? data : convert(arraysOf[dtype], data))
}

function bytesIn({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

// float64 to float32 and back; TypeScript knows the constructors by length alone.
function convert(type: { new (length: number): StoredArray }, data: StoredArray): StoredArray {
  return new (type as unknown as { new (values: StoredArray): StoredArray })(data)
}

function wordsOf(data: StoredArray): Uint32Array {
  return data instanceof Float64Array
    ? oddWords(data)
    : new Uint32Array(data.buffer, data.byteOffset, data.length)
}

function narrow(operation: string, dtype: SmallFloat, data: StoredArray): Uint8Array {
  const table = narrowTable(dtype)
  const words = wordsOf(data)
  const codes = new Uint8Array(words.length)
  let seen = 0
  for (let i = 0; i < codes.length; i++) {
    const word = words[i]
    const code = table[(word >>> 16) | (((word & 0xffff) + 0xffff) >>> 16)]
    seen |= code
    codes[i] = code
  }
  if (seen < 0) throw unnameable(operation, dtype, data, table, words)
  return codes
}

function unnameable(
  operation: string,
  dtype: SmallFloat,
  data: StoredArray,
  table: Int16Array,
  words: Uint32Array,
): VqValueError {
  const at = words.findIndex(word => table[(word >>> 16) | (((word & 0xffff) + 0xffff) >>> 16)] < 0)
  return new VqValueError({
    operation: `${operation} as ${dtype}`,
    expected: dtype === 'F8_E8M0' ? 'no negative numbers, which the type lacks' : 'finite numbers',
    received: `${data[at]}`,
    remedy: 'Store these values as another type.',
  })
}

function pack(bits: number, codes: Uint8Array): Uint8Array {
  if (bits === 8) return codes
  const bytes = new Uint8Array((codes.length * bits) / 8)
  if (bits === 4) for (let i = 0; i < bytes.length; i++) bytes[i] = codes[2 * i] | (codes[2 * i + 1] << 4)
  else
    for (let i = 0, j = 0; i < bytes.length; i += 3, j += 4) {
      const group = codes[j] | (codes[j + 1] << 6) | (codes[j + 2] << 12) | (codes[j + 3] << 18)
      bytes[i] = group
      bytes[i + 1] = group >> 8
      bytes[i + 2] = group >> 16
    }
  return bytes
}

/** Whether all bytes are 0 or 1. */
export function areFlags(bytes: Uint8Array): boolean {
  let seen = 0
  for (let i = 0; i < bytes.length; i++) seen |= bytes[i]
  return seen <= 1
}

/**
 * Throws VqShapeError unless type, shape and array fit each other, VqValueError for flags that are neither 0 nor 1. Floats may
 * be in a Float32Array or Float64Array whatever their type.
 */
export function checkStored(operation: string, tensor: StoredTensor): void {
  const { dtype, shape, data } = tensor ?? {}
  const known = Object.hasOwn(bitsOf, dtype) && Array.isArray(shape) && shape.every(isSize)
  const count = known ? countOf(shape) * elementsPerValue(dtype) : Number.NaN
  if (!known || !(data instanceof arraysOf[dtype]) || data.length !== count)
    throw new VqShapeError({
      operation,
      expected: known
        ? `a ${arraysOf[dtype].name} of length ${count} for ${dtype} of shape [${shape}]`
        : `a type among ${Object.keys(bitsOf).join(', ')} and a shape of whole numbers`,
      received: known ? describe(data) : `${describe(dtype)}, ${describe(shape)}`,
      remedy: 'Pass tensors, or { dtype, shape, data } with the array of that type.',
    })
  if (dtype === 'BOOL' && !areFlags(data as Uint8Array))
    throw new VqValueError({
      operation,
      expected: '0 and 1 as BOOL',
      received: `${(data as Uint8Array).find(value => value > 1)}`,
      remedy: 'Store other numbers as U8.',
    })
}

export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0)
}
