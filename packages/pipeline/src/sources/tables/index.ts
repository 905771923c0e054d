import type { SourceOptions } from '../source.js'
import { openCsv } from './csv.js'
import { hasHeader } from './items.js'
import { openJsonLines } from './lines.js'
import { openParquet } from './parquet.js'
import type { Table } from './table.js'

/** A table by the ending of its name. Throws VqFormatError where the file is not what it says. */
export function openTable(path: string, options: SourceOptions): Promise<Table> {
  const name = path.toLowerCase()
  if (name.endsWith('.parquet')) return openParquet(path)
  if (name.endsWith('.csv') || name.endsWith('.tsv'))
    return openCsv(path, hasHeader(options), options.delimiter)
  return openJsonLines(path, options.memoryBytes ?? 2 ** 28)
}
