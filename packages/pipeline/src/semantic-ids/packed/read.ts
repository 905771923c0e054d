import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { VqFormatError } from '@vq/core'
import { countOf, expectInfo, type SemanticIdInfo, type StoredSemanticId } from '../record.js'
import { bitsFor, packedBytes, unpackCodes } from './bits.js'
import {
  endSignature,
  largestBlock,
  largestHeader,
  mostCodesInBlock,
  mostRows,
  type PackedHeader,
  signature,
  version,
} from './layout.js'

interface Opened {
  path: string
  handle: FileHandle
  size: number
  header: PackedHeader
  rows: number
  /** Where each block begins, and the last one ends. */
  places: Float64Array
}

function bad(path: string, expected: string, received: string): VqFormatError {
  return new VqFormatError({
    operation: `reading ${path} as .vqids`,
    expected,
    received,
    remedy: 'The file is damaged, incomplete or of another format: write it again.',
  })
}

async function bytesAt(
  { path, handle }: Pick<Opened, 'path' | 'handle'>,
  at: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw bad(path, `${length} bytes at ${at}`, `${done}`)
    done += bytesRead
  }
  return bytes
}

async function opened<T>(path: string, use: (file: Opened) => Promise<T> | T): Promise<T> {
  const handle = await open(path, 'r')
  try {
    return await use(await readStart(path, handle))
  } finally {
    await handle.close()
  }
}

// Nothing is allocated by what the file claims before it is held against the file's size.
async function readStart(path: string, handle: FileHandle): Promise<Opened> {
  const { size } = await handle.stat()
  const file = { path, handle }
  if (size < 44) throw bad(path, 'at least 44 bytes', `${size}`)
  const start = await bytesAt(file, 0, 16)
  if (!signature.every((byte, i) => start[i] === byte))
    throw bad(path, 'the signature of .vqids', 'other bytes')
  if (start.readUInt32LE(8) !== version) throw bad(path, `version ${version}`, `${start.readUInt32LE(8)}`)
  const length = start.readUInt32LE(12)
  if (length > largestHeader || 20 + length + 24 > size)
    throw bad(path, `a header within ${size} bytes`, `one of ${length}`)
  const json = await bytesAt(file, 16, length + 4)
  if (crc32(json.subarray(0, length)) !== json.readUInt32LE(length))
    throw bad(path, 'a header that fits its checksum', 'another')
  const header = parseHeader(path, json.subarray(0, length).toString('utf8'))

  const end = await bytesAt(file, size - 24, 24)
  if (!endSignature.every((byte, i) => end[16 + i] === byte))
    throw bad(path, 'the end of a file', 'other bytes: it is cut')
  const rows = end.readDoubleLE(0)
  const blocks = end.readUInt32LE(8)
  const first = 20 + length
  if (!Number.isSafeInteger(rows) || rows < 0 || blocks !== Math.ceil(rows / header.rowsPerBlock))
    throw bad(path, `blocks of ${header.rowsPerBlock} rows`, `${blocks} for ${rows} rows`)
  const footerAt = size - 24 - 8 * blocks
  if (footerAt < first)
    throw bad(path, 'an index of blocks within the file', `${blocks} blocks in ${size} bytes`)
  const footer = await bytesAt(file, footerAt, 8 * blocks + 16)
  if (crc32(footer.subarray(0, 8 * blocks + 12)) !== footer.readUInt32LE(8 * blocks + 12))
    throw bad(path, 'an index that fits its checksum', 'another')
  const places = new Float64Array(blocks + 1)
  places[0] = first
  for (let i = 0; i < blocks; i++) {
    places[i + 1] = footer.readDoubleLE(8 * i)
    if (!(places[i + 1] > places[i]))
      throw bad(path, 'blocks one after another', `an end at ${places[i + 1]}`)
  }
  if (places[blocks] !== footerAt) throw bad(path, `blocks up to ${footerAt}`, `${places[blocks]}`)
  return { ...file, size, header, rows, places }
}

function parseHeader(path: string, text: string): PackedHeader {
  let header: Partial<PackedHeader> | null
  try {
    header = JSON.parse(text) as Partial<PackedHeader> | null
    expectInfo('readSemanticIds', header ?? {})
  } catch (error) {
    throw bad(path, 'a header with shape and sizes', (error as Error).message.slice(0, 200))
  }
  const { shape, rowsPerBlock, captions, margins, metadata } = header ?? {}
  const whole = (value: unknown, least: number, most: number): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
  const isTable = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
  if (
    shape === undefined ||
    !whole(rowsPerBlock, 1, mostRows) ||
    typeof captions !== 'boolean' ||
    !whole(margins, 0, 2 ** 20) ||
    !isTable ||
    !Object.values(metadata).every(value => typeof value === 'string')
  )
    throw bad(path, 'a header with shape, rowsPerBlock, captions, margins and metadata', text.slice(0, 120))
  return header as PackedHeader
}

async function readBlock(file: Opened, block: number): Promise<StoredSemanticId[]> {
  const { path, header, places } = file
  const space = places[block + 1] - places[block]
  if (space < 12 || space > largestBlock + 12) throw bad(path, 'a block', `${space} bytes`)
  const bytes = await bytesAt(file, places[block], space)
  const payload = bytes.subarray(12)
  const rows = Math.min(header.rowsPerBlock, file.rows - block * header.rowsPerBlock)
  if (bytes.readUInt32LE(0) !== payload.length || bytes.readUInt32LE(4) !== rows)
    throw bad(path, `block ${block} with ${rows} rows in ${payload.length} bytes`, 'another')
  if (crc32(payload) !== bytes.readUInt32LE(8))
    throw bad(path, `block ${block} to fit its checksum`, 'other bytes')
  return parseBlock(path, block, header, rows, payload)
}

function parseBlock(
  path: string,
  block: number,
  { shape, codebookSizes, captions, margins }: PackedHeader,
  rows: number,
  payload: Buffer,
): StoredSemanticId[] {
  const broken = (what: string): VqFormatError => bad(path, `a whole block ${block}`, what)
  const levels = shape.at(-1) as number
  const each = countOf(shape)
  if (payload.length < levels) throw broken('one without widths')
  const widths = payload.subarray(0, levels)
  for (const [level, width] of widths.entries())
    if (width > 31 || (codebookSizes && width !== bitsFor(codebookSizes[level])))
      throw broken(`${width} bits at level ${level}`)
  const packed = packedBytes(rows, (each / levels) * widths.reduce((a, b) => a + b, 0))
  let at = levels + packed
  const least = at + 4 * rows * (margins + 1 + Number(captions))
  if (payload.length < least) throw broken(`${payload.length} bytes where ${least} are the least`)
  // With codebooks of one entry codes need no bytes, so their number has no bound in the file.
  if (rows * each > mostCodesInBlock) throw broken(`${rows * each} codes`)
  const codes = new Int32Array(rows * each)
  unpackCodes(payload, levels, widths, codes)
  if (codebookSizes)
    for (const [i, code] of codes.entries())
      if (code >= codebookSizes[i % levels]) throw broken(`code ${code} at level ${i % levels}`)
  const marginsAt = at
  at += 4 * margins * rows
  const strings = (shift: number): (string | undefined)[] => {
    if (at + 4 * rows > payload.length) throw broken('lengths beyond its end')
    let from = at + 4 * rows
    const out = new Array<string | undefined>(rows)
    for (let i = 0; i < rows; i++) {
      const length = payload.readUInt32LE(at + 4 * i) - shift
      if (length < 0) continue
      if (from + length > payload.length) throw broken('texts beyond its end')
      out[i] = payload.toString('utf8', from, from + length)
      from += length
    }
    at = from
    return out
  }
  const ids = strings(0)
  const said = captions ? strings(1) : undefined
  if (at !== payload.length) throw broken(`${payload.length - at} bytes too many`)
  return ids.map((id, i) => {
    const caption = said?.[i]
    const margin = new Float32Array(margins)
    for (let m = 0; m < margins; m++) {
      margin[m] = payload.readFloatLE(marginsAt + 4 * (i * margins + m))
      if (!(margin[m] >= 0)) throw broken(`the margin ${margin[m]}`)
    }
    return {
      id: id as string,
      codes: codes.slice(i * each, (i + 1) * each),
      ...(caption !== undefined && { caption }),
      ...(margins > 0 && { margin }),
    }
  })
}

/** The rows [from, to) of a .vqids file, one block in memory at a time. */
export async function* packedRows(path: string, from: number, to: number): AsyncGenerator<StoredSemanticId> {
  const handle = await open(path, 'r')
  try {
    const file = await readStart(path, handle)
    const { rowsPerBlock } = file.header
    const last = Math.min(to, file.rows)
    for (let row = from; row < last; ) {
      const block = Math.floor(row / rowsPerBlock)
      const items = await readBlock(file, block)
      const begin = block * rowsPerBlock
      yield* items.slice(row - begin, last - begin)
      row = begin + items.length
    }
  } finally {
    await handle.close()
  }
}

export function packedInfo(path: string): Promise<SemanticIdInfo> {
  return opened(path, ({ header: { shape, codebookSizes, metadata } }) => ({
    shape,
    ...(codebookSizes && { codebookSizes }),
    metadata,
  }))
}
