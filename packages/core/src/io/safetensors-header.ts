import { sizeOf } from '../backend/data.js'
import { VqFormatError } from '../errors.js'

/** Bytes per element of the types that we read. */
export const bytesOf: Readonly<Record<string, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1,
}

export interface HeaderEntry {
  name: string
  dtype: string
  shape: number[]
  /** Bytes from the end of the header. */
  begin: number
  end: number
}

export interface Header {
  /** By place in the file. */
  entries: HeaderEntry[]
  metadata: Record<string, string>
}

/** The format's own bound on headers. */
export const largestHeader = 100_000_000

export function malformed(source: string, expected: string, received: string): VqFormatError {
  return new VqFormatError({
    operation: `reading ${source} as safetensors`,
    expected,
    received,
    remedy: 'The file is damaged, incomplete or not safetensors: fetch or save it again.',
  })
}

/** Parses and checks a header: every tensor's size is that of its shape, and together they tile the `dataBytes` after it. */
export function parseHeader(text: string, dataBytes: number, source: string): Header {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw malformed(source, 'a header of JSON', (error as Error).message)
  }
  if (!isRecord(json)) throw malformed(source, 'a header that is a JSON object', text.slice(0, 40))
  const metadata: Record<string, string> = Object.create(null)
  const entries: HeaderEntry[] = []
  for (const [name, value] of Object.entries(json)) {
    if (name !== '__metadata__') entries.push(parseEntry(name, value, source))
    else {
      if (!isRecord(value) || Object.values(value).some(v => typeof v !== 'string'))
        throw malformed(source, '__metadata__ to map strings to strings', JSON.stringify(value).slice(0, 80))
      Object.assign(metadata, value)
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let at = 0
  for (const { name, begin, end } of entries) {
    if (begin !== at)
      throw malformed(source, `'${name}' to begin at byte ${at} of the data`, `an offset of ${begin}`)
    at = end
  }
  if (at !== dataBytes)
    throw malformed(source, `${at} bytes of data, as the header says`, `${dataBytes} bytes`)
  return { entries, metadata }
}

function parseEntry(name: string, value: unknown, source: string): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = isRecord(value) ? value : {}
  const bytes = typeof dtype === 'string' && Object.hasOwn(bytesOf, dtype) ? bytesOf[dtype] : undefined
  if (bytes === undefined)
    throw malformed(
      source,
      `'${name}' to be of type ${Object.keys(bytesOf).join(', ')}`,
      String(dtype).slice(0, 40),
    )
  if (!isSizes(shape))
    throw malformed(source, `'${name}' to have a shape`, JSON.stringify(shape) ?? 'nothing')
  if (!isSizes(offsets) || offsets.length !== 2)
    throw malformed(source, `'${name}' to have two offsets`, JSON.stringify(offsets) ?? 'nothing')
  const [begin, end] = offsets
  const size = sizeOf(shape) * bytes
  if (end - begin !== size)
    throw malformed(source, `'${name}' to take the ${size} bytes of its shape`, `${end - begin} bytes`)
  return { name, dtype: dtype as string, shape, begin, end }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(d => Number.isSafeInteger(d) && d >= 0)
}
