import { access } from 'node:fs/promises'
import { expectInteger, VqError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { jsonInfo, jsonLines, jsonRows } from './json-lines.js'
import { mostRows } from './packed/layout.js'
import { packedInfo, packedRows } from './packed/read.js'
import { packedFile } from './packed/write.js'
import { parquetBytes, parquetInfo, parquetRows } from './parquet.js'
import {
  checkedRow,
  expectInfo,
  formatOf,
  type SemanticId,
  type SemanticIdInfo,
  type StoredSemanticId,
} from './record.js'

export interface WriteSemanticIdsOptions extends Partial<SemanticIdInfo> {
  /** Rows in memory, in one Parquet row group, or in one block of .vqids (there at most 65,536). Default 10,000. */
  rowGroupSize?: number
  /** Whether a Parquet or .vqids file has captions. Default: whether the first row group has one. */
  captions?: boolean
  /** The same of margins. */
  margins?: boolean
}

/**
 * Writes semantic IDs as the file's name says: Parquet (`id` string, `codes` list of int32, `caption` string and `margin` list of
 * float32 where there are any), JSON Lines (`{"id": …, "codes": […], "caption": …, "margin": […]}`), or .vqids, in which codes take
 * ceil(log2 K) bits each. Shape, codebook sizes and metadata go into the file. Items are taken one by one, so any number of them
 * passes through; the file appears whole or not at all.
 *
 * @throws VqValueError for a code outside 0..2³¹−1 or of another shape, VqConfigError for another file name.
 */
export async function writeSemanticIds(
  file: string,
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  options: WriteSemanticIdsOptions = {},
): Promise<void> {
  const { rowGroupSize = 10_000, captions, margins, metadata = {}, shape, codebookSizes } = options
  const format = formatOf('writeSemanticIds', file)
  expectInteger('writeSemanticIds', 'rowGroupSize', rowGroupSize, 1, format === 'vqids' ? mostRows : 2 ** 31)
  const info = { metadata, ...(shape && { shape }), ...(codebookSizes && { codebookSizes }) }
  expectInfo('writeSemanticIds', info)
  const columns = {
    ...(captions !== undefined && { caption: captions }),
    ...(margins !== undefined && { margin: margins }),
  }
  const bytes = {
    parquet: () => parquetBytes(items, info, { rowGroupSize, columns }),
    jsonl: () => jsonLines(items, info, rowGroupSize),
    vqids: () => packedFile(items, info, { rowsPerBlock: rowGroupSize, captions, margins }),
  }[format]
  await writeFileAtomic(file, bytes())
}

/** Reads a file of `writeSemanticIds` piece by piece: all rows, or those [from, to). */
export async function* iterateSemanticIds(
  file: string,
  options: { from?: number; to?: number } = {},
): AsyncGenerator<StoredSemanticId> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = options
  expectInteger('readSemanticIds', 'from', from, 0)
  expectInteger('readSemanticIds', 'to', to, 0)
  const rows = { parquet: parquetRows, jsonl: jsonRows, vqids: packedRows }[formatOf('readSemanticIds', file)]
  let row = from
  try {
    await access(file)
    for await (const value of rows(file, from, to)) yield checkedRow(file, row++, value)
  } catch (error) {
    throw typed(file, error, row > from ? ` after row ${row - 1}` : '')
  }
}

/** All of a file of `writeSemanticIds`. */
export async function readSemanticIds(file: string): Promise<StoredSemanticId[]> {
  const all: StoredSemanticId[] = []
  for await (const item of iterateSemanticIds(file)) all.push(item)
  return all
}

/** What a file of `writeSemanticIds` says of all its items: the shape of their codes, codebook sizes, metadata. */
export async function readSemanticIdInfo(file: string): Promise<SemanticIdInfo> {
  const read = { parquet: parquetInfo, jsonl: jsonInfo, vqids: packedInfo }[formatOf('readSemanticIds', file)]
  try {
    await access(file)
    return await read(file)
  } catch (error) {
    throw typed(file, error, '')
  }
}

const formats = { parquet: 'Parquet', jsonl: 'JSON Lines', vqids: '.vqids' }

function typed(file: string, error: unknown, place: string): VqError {
  if (error instanceof VqError) return error
  return new VqFormatError({
    operation: 'readSemanticIds',
    expected: `${file} to be a readable ${formats[formatOf('readSemanticIds', file)]} file`,
    received: `${(error as Error).message.split('\n')[0]}${place}`,
    remedy: 'Check the path, or write the file again.',
    cause: error,
  })
}
