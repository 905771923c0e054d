import { VqFormatError } from '@vq/core'
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { parquetFile } from '../../parquet-file.js'
import { Bad, type Table, textOf } from './table.js'

interface Group {
  at: number
  columns: string
  rows: Record<string, unknown>[] | Bad
}

/** A Parquet file, read by row groups, of which the last one used stays in memory. */
export async function openParquet(path: string): Promise<Table> {
  const failed = (cause: unknown): VqFormatError =>
    new VqFormatError({
      operation: `reading ${path} as Parquet`,
      expected: 'a Parquet file',
      received: (cause as Error).message.split('\n')[0].slice(0, 200),
      remedy: 'The file is damaged, incomplete or not Parquet: fetch or write it again.',
      cause,
    })
  const file = await parquetFile(path).catch(cause => {
    throw failed(cause)
  })
  const metadata = await parquetMetadataAsync(file).catch(cause => {
    throw failed(cause)
  })
  const starts = [0]
  for (const group of metadata.row_groups) starts.push(starts[starts.length - 1] + Number(group.num_rows))
  const length = starts[starts.length - 1]
  const size = metadata.row_groups.reduce((sum, group) => sum + Number(group.total_byte_size), 0)
  const schema = metadata.schema
  const columns: string[] = []
  for (let at = 1, left = schema[0].num_children ?? 0; left > 0 && at < schema.length; left--) {
    columns.push(schema[at].name)
    // Past everything that lies below it.
    for (let below = 1; below > 0 && at < schema.length; at++) below += (schema[at].num_children ?? 0) - 1
  }

  let last: Promise<Group> | undefined
  let key = ''
  const load = async (at: number, wanted: readonly string[]): Promise<Group> => {
    const rows = await parquetReadObjects({
      file,
      metadata,
      columns: [...wanted],
      rowStart: starts[at],
      rowEnd: starts[at + 1],
      compressors,
      // Bytes stay bytes unless they are said to be text, and text is looked at.
      utf8: false,
      parsers: { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && textOf(bytes) },
    }).catch(error => new Bad(failed(error).received))
    return { at, columns: wanted.join('\0'), rows }
  }
  const group = (at: number, wanted: readonly string[]): Promise<Group> => {
    const wish = `${at}\0${wanted.join('\0')}`
    if (last === undefined || key !== wish) {
      key = wish
      last = load(at, wanted)
    }
    return last
  }
  const pick = ({ rows, at }: Group, row: number, wanted: readonly string[]): unknown[] | Bad => {
    if (rows instanceof Bad) return rows
    const found = rows[row - starts[at]]
    return wanted.map(name => found?.[name] ?? undefined)
  }
  return {
    path,
    columns,
    length,
    size,
    id: row => `row-${row}`,
    read: async (rows, wanted) => {
      const out = new Array<unknown[] | Bad>(rows.length)
      const order = Int32Array.from(rows.keys()).sort((a, b) => rows[a] - rows[b])
      let at = 0
      for (const n of order) {
        while (rows[n] >= starts[at + 1]) at++
        out[n] = pick(await group(at, wanted), rows[n], wanted)
      }
      return out
    },
    async *scan(wanted) {
      for (let at = 0; at + 1 < starts.length; at++) {
        const part = await group(at, wanted)
        yield Array.from({ length: starts[at + 1] - starts[at] }, (_, i) =>
          pick(part, starts[at] + i, wanted),
        )
      }
    },
    close: async () => {
      last = undefined
    },
  }
}
