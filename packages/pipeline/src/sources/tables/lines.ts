// Files of lines: JSON Lines, and plain texts as a table of one column.
import { findLines, type Lines, readLineBytes } from '@vq/models/readers'
import { Bad, countFrom, rowsAtOnce, type Table, textOf } from './table.js'

type Parse = (text: string, columns: readonly string[]) => unknown[] | Bad

// As in CSV: such a line is a file without line ends rather than an item.
const longestLine = 2 ** 24

function lineTable(
  path: string,
  lines: Lines,
  columns: readonly string[],
  id: (row: number) => string,
  parse: Parse,
): Table {
  const length = lines.starts.length
  const read: Table['read'] = async (rows, wanted) => {
    const sizeOf = (row: number): number => lines.ends[row] - lines.starts[row]
    const short = rows.filter(row => sizeOf(row) <= longestLine)
    const all = (await readLineBytes(lines, short)).values()
    return Array.from(rows, row => {
      if (sizeOf(row) > longestLine) return new Bad(`a line of ${sizeOf(row)} bytes`)
      const text = textOf(all.next().value as Buffer)
      return text instanceof Bad ? text : parse(text, wanted)
    })
  }
  return {
    path,
    columns,
    length,
    size: lines.file.size,
    id,
    read,
    async *scan(wanted) {
      for (let from = 0; from < length; from += rowsAtOnce)
        yield await read(countFrom(from, Math.min(rowsAtOnce, length - from)), wanted)
    },
    close: async () => {},
  }
}

/** A text file; the number of a line is the one that editors show. Lines of nothing but white space are no items. */
export async function openTextLines(path: string, memoryBytes: number): Promise<Table> {
  const lines = await findLines(path, memoryBytes, false, false)
  return lineTable(
    path,
    lines,
    ['text'],
    row => `line-${lines.numbers[row] + 1}`,
    text => [text],
  )
}

// So many rows tell which columns there are.
const sampled = 100

/** JSON Lines: an object in each line. Throws VqFormatError where there is none. */
export async function openJsonLines(path: string, memoryBytes: number): Promise<Table> {
  const lines = await findLines(path, memoryBytes, false, false)
  const columns = new Set<string>()
  const first = countFrom(0, Math.min(sampled, lines.starts.length)).filter(
    row => lines.ends[row] - lines.starts[row] <= longestLine,
  )
  for (const bytes of await readLineBytes(lines, first)) {
    const row = objectOf(textOf(bytes))
    if (!(row instanceof Bad)) for (const name of Object.keys(row)) columns.add(name)
  }
  return lineTable(
    path,
    lines,
    [...columns],
    row => `row-${row}`,
    (text, wanted) => {
      const row = objectOf(text)
      return row instanceof Bad ? row : wanted.map(name => (Object.hasOwn(row, name) ? row[name] : undefined))
    },
  )
}

function objectOf(text: string | Bad): Record<string, unknown> | Bad {
  if (text instanceof Bad) return text
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : new Bad('not a JSON object')
  } catch {
    return new Bad('not JSON')
  }
}
