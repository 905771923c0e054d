import type { SkippedItem, SourceOptions } from '../source.js'
import { Bad, expectColumn, type Table, textOf, usualColumn } from './table.js'

/** The rows of a table that are items. */
export interface TableItems<V> {
  /** Their numbers in the table. */
  rows: Int32Array
  ids: string[]
  labels?: string[] | undefined
  captions?: string[] | undefined
  /** What `take` made of each row's cells, where it is kept. */
  values: V[]
  skipped: SkippedItem[]
}

/** The columns that hold the items: the ones that were asked for, or the usual one. */
export function itemColumns(table: Table, options: SourceOptions, usual: readonly string[]): string[] {
  const { column } = options
  if (column === undefined) return [usualColumn(table, usual)]
  const names = typeof column === 'string' ? [column] : column
  return names.map(name => expectColumn(table, name))
}

/** Whether a CSV file's first line names its columns. */
export function hasHeader({ header, column }: SourceOptions): boolean {
  if (header !== undefined) return header
  const names = column === undefined ? [] : typeof column === 'string' ? [column] : column
  return names.length === 0 || !names.every(name => /^\d+$/.test(name))
}

/** Whether items of a table have to be looked at before they are wanted. */
export function namesRows({ idColumn, labelColumn, captionColumn }: SourceOptions): boolean {
  return idColumn !== undefined || labelColumn !== undefined || captionColumn !== undefined
}

/** Looks at every row once. `prefix` goes in front of ids that are numbers of rows. */
export async function tableItems<V>(
  table: Table,
  columns: readonly string[],
  options: SourceOptions,
  prefix: string,
  take: (cells: readonly unknown[]) => V | Bad,
): Promise<TableItems<V>> {
  const { idColumn, labelColumn, captionColumn, signal } = options
  const extra = [idColumn, labelColumn, captionColumn].filter(name => name !== undefined)
  for (const name of extra) expectColumn(table, name)
  const wanted = [...new Set([...columns, ...extra])]
  const places = new Map(wanted.map((name, place) => [name, place]))
  const [idAt, labelAt, captionAt] = [idColumn, labelColumn, captionColumn].map(name =>
    name === undefined ? -1 : (places.get(name) as number),
  )
  const valuesAt = columns.map(name => places.get(name) as number)
  const rows: number[] = []
  const out: TableItems<V> = { rows: new Int32Array(0), ids: [], values: [], skipped: [] }
  const labels: string[] = []
  const captions: string[] = []
  let row = -1
  for await (const block of table.scan(wanted)) {
    signal?.throwIfAborted()
    for (const cells of block) {
      row++
      const own = prefix + table.id(row)
      const skip = (reason: string): void => {
        out.skipped.push({ id: own, reason })
      }
      if (cells instanceof Bad) {
        skip(cells.reason)
        continue
      }
      const id = idAt < 0 ? own : cellText(cells[idAt])
      if (id === undefined || id instanceof Bad || id === '') {
        skip(id instanceof Bad ? `id: ${id.reason}` : `no id in the column ${idColumn}`)
        continue
      }
      const caption = captionAt < 0 ? '' : cellText(cells[captionAt])
      if (caption === undefined || caption instanceof Bad) {
        skip(
          caption === undefined ? `no caption in the column ${captionColumn}` : `caption: ${caption.reason}`,
        )
        continue
      }
      const label = labelAt < 0 ? '' : (cellText(cells[labelAt]) ?? '')
      const missing = valuesAt.findIndex(at => cells[at] === undefined || cells[at] === null)
      const value =
        missing >= 0
          ? new Bad(`nothing in the column ${columns[missing]}`)
          : label instanceof Bad
            ? new Bad(`label: ${label.reason}`)
            : take(valuesAt.map(at => cells[at]))
      if (value instanceof Bad) {
        skip(value.reason)
        continue
      }
      rows.push(row)
      out.ids.push(id)
      out.values.push(value)
      labels.push((label as string).trim())
      captions.push(caption)
    }
  }
  out.rows = Int32Array.from(rows)
  if (labelAt >= 0) out.labels = labels
  if (captionAt >= 0) out.captions = captions
  return out
}

/** A cell as text. */
export function cellText(cell: unknown): string | Bad | undefined {
  if (typeof cell === 'string' || cell instanceof Bad) return cell
  if (cell === undefined || cell === null) return undefined
  if (typeof cell === 'number' || typeof cell === 'bigint' || typeof cell === 'boolean') return String(cell)
  return cell instanceof Uint8Array ? textOf(cell) : new Bad('no text')
}
