import type { VqFormatError } from '../errors.js'
import { badFile, type FileBytes } from './file-bytes.js'
import { JsonError, JsonReader } from './json-reader.js'
import { bitsOf, bytesOf } from './stored-bytes.js'
import type { StoredType, TensorEntry } from './stored-tensor.js'

/** A tensor's place: bytes from the end of the header. */
export interface HeaderEntry extends TensorEntry {
  begin: number
  end: number
}

export interface Header {
  /** By place in the file. */
  entries: Map<string, HeaderEntry>
  metadata: Record<string, string>
}

/** The format's own bound on headers. */
export const largestHeader = 100_000_000

/** Types of safetensors 0.8; in a file the ones further back here come first, as its own writer has it. */
export const safetensorsTypes: readonly StoredType[] = [
  'BOOL', 'F4', 'F6_E2M3', 'F6_E3M2', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ', 'I16', 'U16',
  'F16', 'BF16', 'I32', 'U32', 'F32', 'C64', 'F64', 'I64', 'U64',
] // biome-ignore format: a list

export function malformed(source: string, expected: string, received: string): VqFormatError {
  return badFile(source, 'safetensors', expected, received)
}

/** Reads and checks the header of an open file; `dataAt` is where the values begin. */
export async function readHeader(file: FileBytes): Promise<Header & { dataAt: number }> {
  const { path, size } = file
  if (size < 8) throw malformed(path, 'at least 8 bytes', `${size}`)
  const length = Number(new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true))
  if (length > Math.min(size - 8, largestHeader))
    throw malformed(path, `a header within the file's ${size} bytes`, `a header of ${length} bytes`)
  const text = decodeText(await file.read(8, length))
  if (text === undefined) throw malformed(path, 'a header in UTF-8', 'other bytes')
  return { ...parseHeader(text, size - 8 - length, path), dataAt: 8 + length }
}

/** UTF-8 as it stands, a byte order mark included; undefined where it is no UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** Parses and checks a header: every tensor's size is that of its shape, and together they tile the `dataBytes` after it. */
export function parseHeader(text: string, dataBytes: number, source: string): Header {
  if (text[0] !== '{')
    throw malformed(source, 'a header that is a JSON object', JSON.stringify(text.slice(0, 40)))
  const metadata: Record<string, string> = Object.create(null)
  const found: [string, HeaderEntry][] = []
  const reader = new JsonReader(text)
  try {
    reader.object(name => {
      if (name === '__metadata__') readMetadata(reader, metadata, source)
      else found.push([name, readEntry(reader, name, source)])
    })
    reader.end()
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw malformed(source, `a header of JSON with ${error.message}`, error.received)
  }
  found.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let at = 0
  for (const [name, { begin, end }] of found) {
    if (begin !== at)
      throw malformed(source, `${quoted(name)} to begin at byte ${at} of the data`, `an offset of ${begin}`)
    at = end
  }
  if (at !== dataBytes)
    throw malformed(source, `${at} bytes of data, as the header says`, `${dataBytes} bytes`)
  return { entries: new Map(found), metadata }
}

function readMetadata(reader: JsonReader, metadata: Record<string, string>, source: string): void {
  const wrong = (): VqFormatError =>
    malformed(source, '__metadata__ to map strings to strings', 'other values')
  if (!reader.isNext('{')) throw wrong()
  reader.object(key => {
    if (!reader.isNext('"')) throw wrong()
    metadata[key] = reader.string()
  })
}

function readEntry(reader: JsonReader, name: string, source: string): HeaderEntry {
  let dtype: string | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  if (!reader.isNext('{')) throw malformed(source, `${quoted(name)} to be an object`, 'another value')
  reader.object(key => {
    if (key === 'dtype' && reader.isNext('"')) dtype = reader.string()
    else if (key === 'shape' && reader.isNext('[')) shape = reader.sizes()
    else if (key === 'data_offsets' && reader.isNext('[')) offsets = reader.sizes()
    // Others are passed over, as the format's own reader does.
    else reader.skip()
  })
  if (!isType(dtype))
    throw malformed(
      source,
      `${quoted(name)} to be of type ${safetensorsTypes.join(', ')}`,
      JSON.stringify(dtype)?.slice(0, 40) ?? 'nothing',
    )
  if (shape === undefined) throw malformed(source, `${quoted(name)} to have a shape`, 'none')
  if (offsets?.length !== 2)
    throw malformed(source, `${quoted(name)} to have two offsets`, `${offsets?.length ?? 'none'}`)
  const [begin, end] = offsets
  const bytes = bytesOf(dtype, shape)
  if (end - begin !== bytes)
    throw malformed(
      source,
      Number.isNaN(bytes)
        ? `${quoted(name)} to take the bytes of its shape, a whole number`
        : `${quoted(name)} to take the ${bytes} bytes of its shape`,
      `${end - begin} bytes for ${bitsOf[dtype]} bits by [${shapeText(shape)}]`,
    )
  return { dtype, shape, begin, end }
}

function isType(dtype: string | undefined): dtype is StoredType {
  return safetensorsTypes.includes(dtype as StoredType)
}

const quoted = (name: string): string => `'${name.slice(0, 200)}'`
/** A shape, or the beginning of a long one. */
export const shapeText = (shape: readonly number[]): string =>
  shape.slice(0, 20).join(', ') + (shape.length > 20 ? ', …' : '')
