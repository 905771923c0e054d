import { VqFormatError } from '@vq/core'
import { type CsvOptions, csvByteRows, FileRanges, parseByteRows } from '@vq/models/readers'
import { Bad, rowsAtOnce, type Table, textOf } from './table.js'

/**
 * A CSV or TSV file, with the columns '0', '1', … where the first line does not name them. Between the fields stands `delimiter`; by
 * default a tab in .tsv, else what stands between the names of the columns: commas, semicolons or tabs.
 */
export async function openCsv(path: string, header: boolean, delimiter: string | undefined): Promise<Table> {
  const file = await FileRanges.open('openSource', path, 0)
  const sign = delimiter ?? (header ? await delimiterOf(file) : undefined)
  const options: CsvOptions = sign === undefined ? {} : { delimiter: sign }
  const places: number[] = []
  let columns: string[] | undefined
  for await (const { fields, from, to } of csvByteRows(path, options)) {
    if (columns === undefined) {
      columns = header
        ? fields.map(field => {
            const name = textOf(field)
            return name instanceof Bad ? field.toString('latin1') : name
          })
        : fields.map((_, i) => String(i))
      if (header) continue
    }
    places.push(from, to)
  }
  if (columns === undefined)
    throw new VqFormatError({
      operation: `reading ${path} as CSV`,
      expected: 'at least one row',
      received: 'none',
      remedy: 'Check the file.',
    })
  const names = columns
  const pick = (fields: readonly Buffer[], wanted: readonly string[]): unknown[] =>
    wanted.map(name => {
      const field = fields[names.indexOf(name)]
      return field === undefined ? undefined : textOf(field)
    })
  return {
    path,
    columns,
    length: places.length / 2,
    size: file.size,
    id: row => `row-${row}`,
    read: async (rows, wanted) => {
      const parts = await file.read(
        Array.from(rows, row => ({ from: places[2 * row], to: places[2 * row + 1] })),
      )
      // Each by itself: a row may hold a quote that would swallow the next.
      const parsed = await Promise.all(parts.map(part => parseByteRows(part, path, options)))
      return parsed.map(found =>
        found.length === 1 ? pick(found[0], wanted) : new Bad('the file has changed'),
      )
    },
    async *scan(wanted) {
      let block: unknown[][] = []
      let first = header
      for await (const { fields } of csvByteRows(path, options)) {
        if (first) {
          first = false
          continue
        }
        block.push(pick(fields, wanted))
        if (block.length < rowsAtOnce) continue
        yield block
        block = []
      }
      if (block.length > 0) yield block
    },
    close: async () => {},
  }
}

async function delimiterOf(file: FileRanges): Promise<string | undefined> {
  if (file.path.toLowerCase().endsWith('.tsv')) return undefined
  const [start] = await file.read([{ from: 0, to: Math.min(file.size, 1 << 16) }])
  const names = start
    .toString('latin1')
    .split('\n', 1)[0]
    .replace(/"[^"]*"/g, '')
  const count = (sign: string): number => names.split(sign).length
  return [',', ';', '\t'].reduce((best, sign) => (count(sign) > count(best) ? sign : best))
}
