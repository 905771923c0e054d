import { VqFormatError } from '../errors.js'
import { writeFileAtomic } from './atomic.js'
import { badFile, expectBytes, FileBytes } from './file-bytes.js'
import { type Literal, LiteralError, parseLiteral } from './python-literal.js'
import { areFlags, bitsOf, bytesOf, checkStored, decodeValues, encodeValues, isSize } from './stored-bytes.js'
import type { StoredTensor, StoredType } from './stored-tensor.js'
import { rowMajor } from './strides.js'
import { swapBytes } from './swap-bytes.js'

/** Source: NumPy Enhancement Proposal 1 and numpy.lib.format, versions 1.0 to 3.0. */
const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
export const largestHeader = 100_000
export const mostAxes = 64 // NumPy's own bound

/** NumPy's types by their codes without the byte order. */
export const typesOf: Readonly<Record<string, StoredType>> = {
  b1: 'BOOL',
  u1: 'U8',
  i1: 'I8',
  u2: 'U16',
  i2: 'I16',
  u4: 'U32',
  i4: 'I32',
  u8: 'U64',
  i8: 'I64',
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  c8: 'C64',
  c16: 'C128',
}
const namesOf = new Map(Object.entries(typesOf).map(([name, dtype]) => [dtype, name]))

export interface NpyHeader {
  dtype: StoredType
  shape: number[]
  fortran: boolean
  bigEndian: boolean
  /** Where the values begin. */
  offset: number
  /** Bytes of the values. */
  length: number
}

/** Reads a NumPy `.npy` file. Throws VqFormatError as `parseNpy` does; no more is allocated than the file is long. */
export async function loadNpy(path: string): Promise<StoredTensor> {
  const file = await FileBytes.open(path, 'npy')
  try {
    const start = await file.read(0, Math.min(file.size, 12 + largestHeader))
    const header = parseHeader(start, file.size, path)
    return toStored(header, await file.read(header.offset, header.length), path)
  } finally {
    await file.close()
  }
}

/**
 * The tensor in the bytes of a `.npy` file (versions 1.0, 2.0 and 3.0; booleans, whole numbers, floats and complex numbers of either
 * byte order); Fortran's order becomes row-major. `source` names the bytes in errors.
 * Throws VqFormatError for anything else: objects, structures, strings, dates, long doubles, and files that are too short or too long.
 */
export function parseNpy(bytes: Uint8Array, source: string): StoredTensor {
  expectBytes('parseNpy', bytes)
  const header = parseHeader(bytes, bytes.length, source)
  return toStored(header, new Uint8Array(bytes.subarray(header.offset)), source)
}

export function parseHeader(bytes: Uint8Array, size: number, source: string): NpyHeader {
  const bad = (expected: string, received: string): VqFormatError =>
    badFile(source, 'npy', expected, received)
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte))
    throw bad('the signature \\x93NUMPY and a version', 'other bytes')
  const [major, minor] = [bytes[6], bytes[7]]
  if (major < 1 || major > 3 || minor !== 0) throw bad('version 1.0, 2.0 or 3.0', `${major}.${minor}`)
  const begin = major === 1 ? 10 : 12
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < begin) throw bad('a whole header', `${bytes.length} bytes`)
  const length = major === 1 ? words.getUint16(8, true) : words.getUint32(8, true)
  const offset = begin + length
  if (length > largestHeader || offset > bytes.length)
    throw bad(
      `a header of at most ${Math.min(bytes.length - begin, largestHeader)} bytes`,
      `one of ${length} bytes`,
    )
  const text = decodeText(bytes.subarray(begin, offset), major === 3 ? 'utf-8' : 'latin1')
  if (text === undefined) throw bad('a header in UTF-8', 'other bytes')
  let literal: Literal
  try {
    literal = parseLiteral(text)
  } catch (error) {
    if (!(error instanceof LiteralError)) throw error
    throw bad(`a header that is a Python dictionary: ${error.message}`, JSON.stringify(text.slice(0, 80)))
  }
  return { ...parseFields(literal, size - offset, bad), offset }
}

function decodeText(bytes: Uint8Array, encoding: string): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function parseFields(
  literal: Literal,
  rest: number,
  bad: (expected: string, received: string) => VqFormatError,
): Omit<NpyHeader, 'offset'> {
  const fields = literal instanceof Map ? literal : new Map<string, Literal>()
  const [descr, fortran, shape] = ['descr', 'fortran_order', 'shape'].map(key => fields.get(key))
  if (fields.size !== 3 || descr === undefined || typeof fortran !== 'boolean' || shape === undefined)
    throw bad(
      "a dictionary of 'descr', 'fortran_order' and 'shape'",
      [...fields.keys()].join(', ').slice(0, 80),
    )
  const [, order, name] = /^([<>|=]?)([a-z]\d+)$/.exec(typeof descr === 'string' ? descr : '') ?? []
  const dtype = name !== undefined && Object.hasOwn(typesOf, name) ? typesOf[name] : undefined
  if (dtype === undefined)
    throw bad(
      'numbers: bool, integers of 1 to 8 bytes, floats of 2 to 8, complex of 8 and 16',
      typeof descr === 'string' ? `'${descr.slice(0, 40)}'` : 'a structure',
    )
  if (!Array.isArray(shape) || shape.length > mostAxes || !shape.every(isSize))
    throw bad('a shape', JSON.stringify(shape)?.slice(0, 80))
  const length = bytesOf(dtype, shape as number[])
  if (length !== rest) throw bad(`${length} bytes of ${dtype} for shape [${shape}]`, `${rest} bytes`)
  return { dtype, shape: shape as number[], fortran, bigEndian: order === '>', length }
}

export function toStored(
  { dtype, shape, fortran, bigEndian, length }: NpyHeader,
  bytes: Uint8Array<ArrayBuffer>,
  source: string,
): StoredTensor {
  const little = swapBytes(bytes, dtype, bigEndian)
  const moved = fortran && shape.length > 1 && length > 0
  const ordered = moved ? rowMajor(little, shape, bitsOf[dtype] / 8) : little
  if (dtype === 'BOOL' && !areFlags(ordered))
    throw badFile(source, 'npy', 'booleans of 0 and 1', 'other bytes')
  return { dtype, shape, data: decodeValues(dtype, ordered) }
}

/** Writes a tensor as a `.npy` file, atomically. Throws as `npyBytes` does. */
export async function saveNpy(path: string, tensor: StoredTensor): Promise<void> {
  await writeFileAtomic(path, npyParts(tensor))
}

/**
 * A tensor as the bytes of a `.npy` file, version 1.0, little-endian, row-major. BF16 and the floats of 8 bits and fewer, which
 * NumPy lacks, become float32, which has all of them exactly.
 * Throws VqShapeError or VqValueError where type, shape and array do not fit each other.
 */
export function npyBytes(tensor: StoredTensor): Uint8Array {
  return Buffer.concat(npyParts(tensor))
}

function npyParts(tensor: StoredTensor): Uint8Array[] {
  checkStored('writing npy', tensor)
  const { shape, data } = tensor
  if (shape.length > mostAxes)
    throw new VqFormatError({
      operation: 'writing npy',
      expected: `at most ${mostAxes} axes`,
      received: `${shape.length}`,
      remedy: 'Reshape the tensor.',
    })
  const dtype = namesOf.has(tensor.dtype) ? tensor.dtype : 'F32'
  const order = bitsOf[dtype] === 8 ? '|' : '<'
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${order}${namesOf.get(dtype)}', 'fortran_order': False, 'shape': (${sizes}), }`
  const head = Buffer.alloc(Math.ceil((10 + text.length + 1) / 64) * 64, ' ')
  head.set([...magic, 1, 0])
  head.writeUInt16LE(head.length - 10, 8)
  head.write(text, 10, 'latin1')
  head[head.length - 1] = 10
  return [head, encodeValues(dtype, data)]
}
