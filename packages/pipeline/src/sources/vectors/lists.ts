// Columns of lists of numbers: JSON Lines and Parquet.
import type { SourceOptions } from '../source.js'
import { itemColumns, namesRows, tableItems } from '../tables/items.js'
import { Bad, type Table } from '../tables/table.js'
import type { RowPart } from './part.js'

const usual = ['embedding', 'embeddings', 'vector', 'vectors', 'emb', 'features', 'values']

export async function listPart(
  table: Table,
  options: SourceOptions,
  prefix: string,
  skipped: { id: string; reason: string }[],
): Promise<RowPart> {
  const columns = itemColumns(table, options, usual)
  // Without names nothing has to be read before its turn.
  const items = namesRows(options) ? await tableItems(table, columns, options, prefix, () => true) : undefined
  skipped.push(...(items?.skipped ?? []))
  return {
    count: items?.rows.length ?? table.length,
    shape: undefined,
    labels: items?.labels,
    captions: items?.captions,
    id: row => items?.ids[row] ?? prefix + table.id(row),
    read: async (rows, size) => {
      const values = new Float32Array(rows.length * size)
      const bad = new Map<number, string>()
      const found = await table.read(items ? rows.map(row => items.rows[row]) : rows, columns)
      for (const [n, cells] of found.entries()) {
        const list = cells instanceof Bad ? cells : listOf(cells[0], columns[0])
        if (list instanceof Bad) bad.set(n, list.reason)
        else if (list.length !== size) bad.set(n, `${list.length} numbers where ${size} are needed`)
        else values.set(list, n * size)
      }
      return { values, bad }
    },
    close: () => table.close(),
  }
}

/** The length of the first list of a table. */
export async function firstLength(table: Table, column: string): Promise<number | undefined> {
  for (let row = 0; row < Math.min(100, table.length); row++) {
    const [cells] = await table.read(Int32Array.of(row), [column])
    const list = cells instanceof Bad ? cells : listOf(cells[0], column)
    if (!(list instanceof Bad)) return list.length
  }
  return undefined
}

export const listColumn = (table: Table, options: SourceOptions): string =>
  itemColumns(table, options, usual)[0]

function listOf(cell: unknown, column: string): ArrayLike<number> | Bad {
  if (cell === undefined || cell === null) return new Bad(`nothing in the column ${column}`)
  if (ArrayBuffer.isView(cell) && !(cell instanceof Uint8Array)) return cell as unknown as ArrayLike<number>
  if (typeof cell === 'string') {
    try {
      return listOf(JSON.parse(cell), column)
    } catch {
      return new Bad('no list of numbers')
    }
  }
  if (!Array.isArray(cell)) return new Bad('no list of numbers')
  for (let i = 0; i < cell.length; i++)
    if (typeof cell[i] !== 'number') return new Bad(`no number at ${i} of the list`)
  return cell as number[]
}
