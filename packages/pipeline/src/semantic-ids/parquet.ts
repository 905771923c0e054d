import { VqValueError } from '@vq/core'
import type { FileMetaData, SchemaElement } from 'hyparquet'
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { parquetFile } from '../parquet-file.js'
import { fromMetadata, toMetadata } from './info.js'
import { checkedItem, type SemanticId, type SemanticIdInfo } from './record.js'

/** Columns that not every file has. */
const optional = ['caption', 'margin'] as const
type Optional = Record<(typeof optional)[number], boolean>

// Given explicitly: a list of numbers would otherwise become a column of JSON text.
function schema({ caption, margin }: Optional): SchemaElement[] {
  return [
    { name: 'schema', num_children: 2 + Number(caption) + Number(margin) },
    { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
    ...list('codes', 'INT32', 'REQUIRED'),
    ...(caption
      ? [
          {
            name: 'caption',
            type: 'BYTE_ARRAY',
            converted_type: 'UTF8',
            repetition_type: 'OPTIONAL',
          } as const,
        ]
      : []),
    ...(margin ? list('margin', 'FLOAT', 'OPTIONAL') : []),
  ]
}

function list(
  name: string,
  type: 'INT32' | 'FLOAT',
  repetition_type: 'REQUIRED' | 'OPTIONAL',
): SchemaElement[] {
  return [
    { name, converted_type: 'LIST', repetition_type, num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    { name: 'element', type, repetition_type: 'REQUIRED' },
  ]
}

/** The bytes of a Parquet file, one row group at a time. What is undefined of `columns` is decided by the first group. */
export async function* parquetBytes(
  items: Iterable<SemanticId> | AsyncIterable<SemanticId>,
  info: SemanticIdInfo,
  options: { rowGroupSize: number; columns: Partial<Optional> },
): AsyncGenerator<Uint8Array> {
  const { rowGroupSize, columns } = options
  const writer = new ByteWriter()
  const kvMetadata = Object.entries(toMetadata(info)).map(([key, value]) => ({ key, value }))
  let parquet: ParquetWriter | undefined
  const has: Optional = { caption: false, margin: false }
  let group: SemanticId[] = []
  let row = 0

  const flush = (): Uint8Array => {
    if (parquet === undefined) {
      for (const name of optional) has[name] = columns[name] ?? group.some(item => item[name] !== undefined)
      parquet = new ParquetWriter({ writer, schema: schema(has), kvMetadata, createdBy: '@vq/pipeline' })
    }
    const first = row - group.length
    const checked = group.map((item, i) => checkedItem(item, first + i, info))
    const columnData = [
      { name: 'id', data: group.map(item => item.id) },
      { name: 'codes', data: checked.map(({ codes }) => codes) },
      ...(has.caption ? [{ name: 'caption', data: group.map(item => item.caption ?? null) }] : []),
      ...(has.margin
        ? [{ name: 'margin', data: checked.map(({ margin }) => (margin ? Array.from(margin) : null)) }]
        : []),
    ]
    if (group.length > 0) parquet.write({ columnData, rowGroupSize })
    group = []
    return taken(writer)
  }

  for await (const item of items) {
    if (parquet !== undefined)
      for (const name of optional) if (!has[name] && item[name] !== undefined) throw late(name, row)
    group.push(item)
    row++
    if (group.length === rowGroupSize) yield flush()
  }
  if (group.length > 0 || parquet === undefined) yield flush()
  parquet!.finish()
  yield taken(writer)
}

function late(name: string, row: number): VqValueError {
  return new VqValueError({
    operation: 'writeSemanticIds',
    expected: `${name}s in the first row group, or none at all`,
    received: `a ${name} in row ${row}`,
    remedy: `Pass ${name}s: true.`,
  })
}

// A copy of what was written since the last time; the writer goes on counting its offset.
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice()
  writer.index = 0
  return bytes
}

/** The rows [from, to) of a Parquet file, one row group in memory at a time. */
export async function* parquetRows(path: string, from: number, to: number): AsyncGenerator<unknown> {
  const file = await parquetFile(path)
  const metadata: FileMetaData = await parquetMetadataAsync(file)
  const names = new Set(metadata.schema.map(s => s.name))
  const columns = ['id', 'codes', ...optional].filter(name => names.has(name))
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const [first, last] = [Math.max(from, rowStart), Math.min(to, rowEnd)]
    if (first < last)
      yield* await parquetReadObjects({ file, metadata, columns, rowStart: first, rowEnd: last })
    rowStart = rowEnd
  }
}

export async function parquetInfo(path: string): Promise<SemanticIdInfo> {
  const { key_value_metadata: pairs = [] } = await parquetMetadataAsync(await parquetFile(path))
  // pyarrow and pandas keep schemas of their own there.
  const own = pairs.filter(({ key }) => !/^(ARROW:|pandas$)/.test(key))
  return fromMetadata(path, Object.fromEntries(own.map(({ key, value }) => [key, value ?? ''])))
}
