import { extname } from 'node:path'
import { closest, VqConfigError } from '@vq/core'

/** Why a row, or a cell of it, is of no use. */
export class Bad {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** Rows with named columns, read where they are needed. */
export interface Table {
  readonly path: string
  readonly columns: readonly string[]
  readonly length: number
  /** Bytes that the texts of the columns take at most. */
  readonly size: number
  /** 'row-7', of a text file 'line-8'. */
  id(row: number): string
  /** The cells of these columns, row by row; `Bad` for a row or a cell that cannot be read, undefined for one that is not there. */
  read(rows: Int32Array, columns: readonly string[]): Promise<(unknown[] | Bad)[]>
  /** All rows once, in blocks. */
  scan(columns: readonly string[]): AsyncGenerator<(unknown[] | Bad)[]>
  close(): Promise<void>
}

export const tableEndings: ReadonlySet<string> = new Set(['.csv', '.tsv', '.jsonl', '.ndjson', '.parquet'])

export function isTable(path: string): boolean {
  return tableEndings.has(extname(path).toLowerCase())
}

/** Throws VqConfigError, which names the columns that exist, unless the table has the column. */
export function expectColumn(table: Table, column: string): string {
  const { columns, path } = table
  if (columns.includes(column)) return column
  const near = closest(column, columns)
  throw new VqConfigError({
    operation: 'openSource',
    expected: `the column ${JSON.stringify(column)} in ${path}`,
    received:
      columns.length === 0 ? 'a table without columns' : `the columns ${columns.join(', ').slice(0, 300)}`,
    remedy: near === undefined ? 'Check the file.' : `Did you mean ${JSON.stringify(near)}?`,
  })
}

/** The first of `usual` names that the table has, in small or capital letters. */
export function usualColumn(table: Table, usual: readonly string[]): string {
  for (const name of usual) {
    const found = table.columns.find(column => column.trim().toLowerCase() === name)
    if (found !== undefined) return found
  }
  throw new VqConfigError({
    operation: 'openSource',
    expected: `the name of the column in ${table.path} that holds the items`,
    received: `none, and no column called ${usual.join(', ')} among ${table.columns.join(', ').slice(0, 300)}`,
    remedy: 'Pass `column`; columns of a CSV file without a header are numbered from 0.',
  })
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Text of UTF-8 bytes. */
export function textOf(bytes: Uint8Array): string | Bad {
  try {
    return decoder.decode(bytes)
  } catch {
    return new Bad('not UTF-8')
  }
}

export const rowsAtOnce = 4096

/** Numbers from `from` on. */
export function countFrom(from: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => from + i)
}
