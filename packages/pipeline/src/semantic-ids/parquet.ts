import { VqValueError } from '@vq/core'
import type { FileMetaData, SchemaElement } from 'hyparquet'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { checkedCodes, type SemanticId } from './record.js'

// Given explicitly: a list of numbers would otherwise become a column of JSON text.
function schema(captions: boolean): SchemaElement[] {
  return [
    { name: 'schema', num_children: captions ? 3 : 2 },
    { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
    { name: 'codes', converted_type: 'LIST', repetition_type: 'REQUIRED', num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', type: 'INT32', repetition_type: 'REQUIRED' },
    ...(captions
      ? [
          {
            name: 'caption',
            type: 'BYTE_ARRAY',
            converted_type: 'UTF8',
            repetition_type: 'OPTIONAL',
          } as const,
        ]
      : []),
  ]
}

/** The bytes of a Parquet file, one row group at a time. `captions` undefined: decided by the first group. */
export async function* parquetBytes(
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  options: { rowGroupSize: number; captions: boolean | undefined; metadata: Record<string, string> },
): AsyncGenerator<Uint8Array> {
  const { rowGroupSize, metadata } = options
  const writer = new ByteWriter()
  const kvMetadata = Object.entries(metadata).map(([key, value]) => ({ key, value }))
  let parquet: ParquetWriter | undefined
  let captions = options.captions ?? false
  let group: SemanticId[] = []
  let row = 0

  const flush = (): Uint8Array => {
    if (parquet === undefined) {
      captions = options.captions ?? group.some(item => item.caption !== undefined)
      parquet = new ParquetWriter({ writer, schema: schema(captions), kvMetadata, createdBy: '@vq/pipeline' })
    }
    const first = row - group.length
    const columnData = [
      { name: 'id', data: group.map(item => item.id) },
      { name: 'codes', data: group.map((item, i) => checkedCodes(item, first + i)) },
      ...(captions ? [{ name: 'caption', data: group.map(item => item.caption ?? null) }] : []),
    ]
    if (group.length > 0) parquet.write({ columnData, rowGroupSize })
    group = []
    return taken(writer)
  }

  for await (const item of items) {
    if (parquet !== undefined && !captions && item.caption !== undefined) throw lateCaption(row)
    group.push(item)
    row++
    if (group.length === rowGroupSize) yield flush()
  }
  if (group.length > 0 || parquet === undefined) yield flush()
  parquet!.finish()
  yield taken(writer)
}

function lateCaption(row: number): VqValueError {
  return new VqValueError({
    operation: 'writeSemanticIds',
    expected: 'captions in the first row group, or none at all',
    received: `a caption in row ${row}`,
    remedy: 'Pass captions: true.',
  })
}

// A copy of what was written since the last time; the writer goes on counting its offset.
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice()
  writer.index = 0
  return bytes
}

/** The rows of a Parquet file, one row group in memory at a time. */
export async function* parquetRows(path: string): AsyncGenerator<unknown> {
  const file = await asyncBufferFromFile(path)
  const metadata: FileMetaData = await parquetMetadataAsync(file)
  const names = new Set(metadata.schema.map(s => s.name))
  const columns = ['id', 'codes', 'caption'].filter(name => names.has(name))
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    yield* await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd })
    rowStart = rowEnd
  }
}
