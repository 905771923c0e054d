import { crc32 } from 'node:zlib'
import { VqValueError } from '@vq/core'
import { checkedItem, countOf, expectInfo, type SemanticId, type SemanticIdInfo } from '../record.js'
import { bitsFor, packCodes, packedBytes } from './bits.js'
import {
  endSignature,
  largestBlock,
  mostCodesInBlock,
  type PackedHeader,
  signature,
  version,
} from './layout.js'

interface Row {
  id: Buffer
  codes: number[]
  margin: Float32Array | undefined
  caption: Buffer | undefined
}

/** The bytes of a .vqids file, block by block. Without a shape it is that of the first item. */
export async function* packedFile(
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  info: SemanticIdInfo,
  options: { rowsPerBlock: number; captions: boolean | undefined; margins: boolean | undefined },
): AsyncGenerator<Uint8Array> {
  let header: PackedHeader | undefined
  let block: { item: SemanticId; row: number }[] = []
  const ends: number[] = []
  let at = 0
  let row = 0
  let { rowsPerBlock } = options

  const flush = (): Uint8Array => {
    const parts: Uint8Array[] = []
    if (header === undefined) {
      header = headerOf(block, info, { ...options, rowsPerBlock })
      parts.push(headerBytes(header))
    }
    if (block.length > 0) parts.push(blockBytes(block, header))
    block = []
    const bytes = Buffer.concat(parts)
    at += bytes.length
    if (row > 0) ends.push(at)
    return bytes
  }

  for await (const item of items) {
    if (row === 0)
      rowsPerBlock = Math.max(1, Math.min(rowsPerBlock, Math.floor(mostCodesInBlock / item.codes.length)))
    block.push({ item, row: row++ })
    if (block.length === rowsPerBlock) yield flush()
  }
  if (block.length > 0 || header === undefined) yield flush()
  yield footerBytes(ends, row)
}

function headerOf(
  block: readonly { item: SemanticId; row: number }[],
  { shape, codebookSizes, metadata }: SemanticIdInfo,
  options: { rowsPerBlock: number; captions: boolean | undefined; margins: boolean | undefined },
): PackedHeader {
  const first = block[0]?.item
  const marked =
    options.margins === false ? undefined : block.find(({ item }) => item.margin !== undefined)?.item
  const margin = marked?.margin
  const own = shape ?? [first?.codes.length ?? 1]
  expectInfo('writeSemanticIds', { shape: own })
  return {
    shape: own,
    ...(codebookSizes && { codebookSizes }),
    metadata,
    rowsPerBlock: options.rowsPerBlock,
    captions: options.captions ?? block.some(({ item }) => item.caption !== undefined),
    margins: margin === undefined ? 0 : typeof margin === 'number' ? 1 : margin.length,
  }
}

function headerBytes(header: PackedHeader): Uint8Array {
  const json = Buffer.from(JSON.stringify(header))
  const bytes = Buffer.alloc(20 + json.length)
  bytes.set(signature)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(json.length, 12)
  bytes.set(json, 16)
  bytes.writeUInt32LE(crc32(json), 16 + json.length)
  return bytes
}

function blockBytes(block: readonly { item: SemanticId; row: number }[], header: PackedHeader): Uint8Array {
  const { codebookSizes, captions, margins } = header
  const levels = header.shape.at(-1) as number
  const rows: Row[] = block.map(({ item, row }) => {
    const { codes, margin } = checkedItem(item, row, header)
    if ((margin?.length ?? 0) !== margins) throw unlike(row, `${margins} margins`, `${margin?.length ?? 0}`)
    if (item.caption !== undefined && !captions) throw unlike(row, 'no caption', 'one: pass captions: true')
    return {
      id: Buffer.from(item.id, 'utf8'),
      codes,
      margin,
      caption: item.caption === undefined ? undefined : Buffer.from(item.caption, 'utf8'),
    }
  })
  const codes = new Int32Array(rows.length * countOf(header.shape))
  for (const [i, row] of rows.entries()) codes.set(row.codes, i * row.codes.length)
  const widths = new Uint8Array(levels)
  if (codebookSizes !== undefined) widths.set(codebookSizes.map(bitsFor))
  else
    for (const [i, code] of codes.entries())
      widths[i % levels] = Math.max(widths[i % levels], bitsFor(code + 1))

  const perItem = (countOf(header.shape) / levels) * widths.reduce((a, b) => a + b, 0)
  const bytesOf = (part: (row: Row) => Buffer | undefined): number =>
    rows.reduce((sum, row) => sum + 4 + (part(row)?.length ?? 0), 0)
  const packed = packedBytes(rows.length, perItem)
  const length =
    levels +
    packed +
    4 * margins * rows.length +
    bytesOf(row => row.id) +
    (captions ? bytesOf(row => row.caption) : 0)
  if (length > largestBlock)
    throw unlike(
      block[0].row,
      `blocks of at most ${largestBlock} bytes`,
      `${length}: take a smaller rowGroupSize`,
    )
  const bytes = Buffer.alloc(12 + length)
  const payload = bytes.subarray(12)
  payload.set(widths)
  packCodes(codes, widths, payload, levels)
  let at = levels + packed
  for (const { margin } of rows) for (const value of margin ?? []) at = payload.writeFloatLE(value, at)
  for (const { id } of rows) at = payload.writeUInt32LE(id.length, at)
  for (const { id } of rows) at += id.copy(payload, at)
  if (captions) {
    for (const { caption } of rows)
      at = payload.writeUInt32LE(caption === undefined ? 0 : caption.length + 1, at)
    for (const { caption } of rows) at += caption?.copy(payload, at) ?? 0
  }
  bytes.writeUInt32LE(length, 0)
  bytes.writeUInt32LE(rows.length, 4)
  bytes.writeUInt32LE(crc32(payload), 8)
  return bytes
}

function footerBytes(ends: readonly number[], rows: number): Uint8Array {
  const bytes = Buffer.alloc(8 * ends.length + 24)
  let at = 0
  for (const end of ends) at = bytes.writeDoubleLE(end, at)
  at = bytes.writeDoubleLE(rows, at)
  at = bytes.writeUInt32LE(ends.length, at)
  at = bytes.writeUInt32LE(crc32(bytes.subarray(0, at)), at)
  bytes.set(endSignature, at)
  return bytes
}

function unlike(row: number, expected: string, received: string): VqValueError {
  return new VqValueError({
    operation: 'writeSemanticIds',
    expected: `${expected}, as the first rows have it`,
    received: `${received} in row ${row}`,
    remedy: 'Give all rows the same fields.',
  })
}
