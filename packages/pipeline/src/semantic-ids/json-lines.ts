import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { fromMetadata, toMetadata } from './info.js'
import { checkedItem, type SemanticId, type SemanticIdInfo } from './record.js'

type Items = Iterable<SemanticId> | AsyncIterable<SemanticId>

/**
 * A row in each line. The first one has the file's metadata beside its own fields, so that every line is a row; without rows there
 * is a line of metadata alone.
 */
export async function* jsonLines(
  items: Items,
  info: SemanticIdInfo,
  rowsAtOnce: number,
): AsyncGenerator<Uint8Array> {
  const all = toMetadata(info)
  const metadata = Object.keys(all).length > 0 ? all : undefined
  let text = ''
  let row = 0
  for await (const item of items) {
    const { id, caption } = item
    const { codes, margin } = checkedItem(item, row, info)
    const fields = {
      id,
      codes,
      ...(caption !== undefined && { caption }),
      ...(row === 0 && metadata && { metadata }),
    }
    const line = JSON.stringify(fields)
    // JSON has no infinity, but a number that is too large for any float.
    const numbers = margin && Array.from(margin, m => (m === Number.POSITIVE_INFINITY ? '1e999' : String(m)))
    text += numbers ? `${line.slice(0, -1)},"margin":[${numbers.join(',')}]}\n` : `${line}\n`
    if (++row % rowsAtOnce === 0) {
      yield Buffer.from(text)
      text = ''
    }
  }
  if (row === 0 && metadata) text = `${JSON.stringify({ metadata })}\n`
  yield Buffer.from(text)
}

export async function* jsonRows(file: string, from: number, to: number): AsyncGenerator<unknown> {
  let row = 0
  for await (const line of linesOf(file)) {
    if (row >= to) return
    if (line === '') continue
    if (row < from) {
      if (row > 0 || !isMetadataAlone(JSON.parse(line))) row++
      continue
    }
    const value: unknown = JSON.parse(line)
    if (row === 0 && isMetadataAlone(value)) continue
    row++
    yield value
  }
}

export async function jsonInfo(file: string): Promise<SemanticIdInfo> {
  for await (const line of linesOf(file)) {
    if (line === '') continue
    const { metadata } = (JSON.parse(line) ?? {}) as { metadata?: unknown }
    const given = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
    return fromMetadata(file, given ? (metadata as Record<string, unknown>) : {})
  }
  return { metadata: {} }
}

function isMetadataAlone(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'metadata' in value && !('id' in value)
}

function linesOf(file: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })
}
