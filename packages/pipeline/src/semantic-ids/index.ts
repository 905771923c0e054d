import { createReadStream } from 'node:fs'
import { access } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { expectInteger, VqError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { parquetBytes, parquetRows } from './parquet.js'
import { checkedCodes, checkedRow, formatOf, type SemanticId } from './record.js'

export type { SemanticId, SemanticIdFormat } from './record.js'

export interface WriteSemanticIdsOptions {
  /** Rows in memory, and in one Parquet row group. Default 10,000. */
  rowGroupSize?: number
  /** Whether a Parquet file has a caption column. Default: whether the first row group has a caption. */
  captions?: boolean
  /** Written into the Parquet file's key-value metadata. */
  metadata?: Record<string, string>
}

/**
 * Writes semantic IDs as the file's name says: Parquet (`id` string, `codes` list of int32, `caption` string where there are
 * captions) or JSON Lines (`{"id": …, "codes": […], "caption": …}`). Items are taken one by one, so any
 * number of them passes through; the file appears whole or not at all.
 *
 * @throws VqValueError for a code outside 0..2³¹−1, VqConfigError for another file name.
 */
export async function writeSemanticIds(
  file: string,
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  options: WriteSemanticIdsOptions = {},
): Promise<void> {
  const { rowGroupSize = 10_000, captions, metadata = {} } = options
  expectInteger('writeSemanticIds', 'rowGroupSize', rowGroupSize, 1)
  const bytes =
    formatOf('writeSemanticIds', file) === 'parquet'
      ? parquetBytes(items, { rowGroupSize, captions, metadata })
      : jsonLines(items, rowGroupSize)
  await writeFileAtomic(file, bytes)
}

/** Reads a file of `writeSemanticIds` piece by piece. */
export async function* iterateSemanticIds(file: string): AsyncGenerator<SemanticId & { codes: Int32Array }> {
  const parquet = formatOf('readSemanticIds', file) === 'parquet'
  let row = 0
  try {
    await access(file)
    for await (const value of parquet ? parquetRows(file) : jsonRows(file))
      yield checkedRow(file, row++, value)
  } catch (error) {
    if (error instanceof VqError) throw error
    throw new VqFormatError({
      operation: 'readSemanticIds',
      expected: `${file} to be a readable ${parquet ? 'Parquet' : 'JSON Lines'} file`,
      received: `${(error as Error).message.split('\n')[0]}${row > 0 ? ` after row ${row - 1}` : ''}`,
      remedy: 'Check the path, or write the file again.',
      cause: error,
    })
  }
}

/** All of a file of `writeSemanticIds`. */
export async function readSemanticIds(file: string): Promise<(SemanticId & { codes: Int32Array })[]> {
  const all: (SemanticId & { codes: Int32Array })[] = []
  for await (const item of iterateSemanticIds(file)) all.push(item)
  return all
}

async function* jsonLines(
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  rowsAtOnce: number,
): AsyncGenerator<Uint8Array> {
  let text = ''
  let row = 0
  for await (const item of items) {
    const { id, caption } = item
    const codes = checkedCodes(item, row++)
    text += `${JSON.stringify({ id, codes, ...(caption !== undefined && { caption }) })}\n`
    if (row % rowsAtOnce === 0) {
      yield Buffer.from(text)
      text = ''
    }
  }
  yield Buffer.from(text)
}

async function* jsonRows(file: string): AsyncGenerator<unknown> {
  for await (const line of createInterface({
    input: createReadStream(file),
    crlfDelay: Number.POSITIVE_INFINITY,
  }))
    if (line !== '') yield JSON.parse(line)
}
