import { openCsv } from './csv.js'
import { openJsonLines } from './lines.js'
import { openParquet } from './parquet.js'
import type { Table } from './table.js'

/** A table by the ending of its name. Throws VqFormatError where the file is not what it says. */
export function openTable(path: string, options: { header: boolean; memoryBytes: number }): Promise<Table> {
  const name = path.toLowerCase()
  if (name.endsWith('.parquet')) return openParquet(path)
  if (name.endsWith('.csv') || name.endsWith('.tsv')) return openCsv(path, options.header)
  return openJsonLines(path, options.memoryBytes)
}
