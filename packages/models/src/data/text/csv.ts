import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { VqConfigError, VqError, VqFormatError } from '@vq/core'
import type { Options } from 'csv-parse'
import { missing } from '../files/places.js'
import { Utf8Check } from './utf8.js'

export interface CsvOptions {
  /** Between fields. Default: a tab for names that end in .tsv, else a comma. */
  delimiter?: string
  /** Whether the first line names the columns. Default false. */
  header?: boolean
  /** What fields may be put in; false for none. Default '"', but none with a tab. */
  quote?: string | false
}

export interface CsvTable {
  /** From the header; '0', '1', … without one. */
  columns: string[]
  /** Without the header, each as long as `columns`. */
  rows: string[][]
}

/** A row of a CSV file and where it lies in it, in bytes: [from, to). */
export interface CsvRow<Field = string> {
  fields: Field[]
  from: number
  to: number
}

const mostBytesInMemory = 2 ** 28
const longestRow = 2 ** 24

/** csv-parse's own options for ours. */
export function parserOptions(path: string, options: CsvOptions): Options {
  const { delimiter = path.toLowerCase().endsWith('.tsv') ? '\t' : ',' } = options
  const { quote = delimiter === '\t' ? false : '"' } = options
  const record_delimiter = ['\r\n', '\n']
  return {
    delimiter,
    quote,
    record_delimiter,
    bom: true,
    skip_empty_lines: true,
    max_record_size: longestRow,
  }
}

/** A small table as a whole. Throws as `csvRows` does, VqConfigError over 256 MiB. */
export async function readCsv(path: string, options: CsvOptions = {}): Promise<CsvTable> {
  const info = await stat(path).catch(() => undefined)
  if ((info?.size ?? 0) > mostBytesInMemory)
    throw missing('readCsv', `a table of at most ${mostBytesInMemory} bytes`, `${info?.size}`, 'Split it.')
  let columns: string[] | undefined
  const rows: string[][] = []
  for await (const { fields } of csvRows(path, options)) {
    if (columns === undefined) {
      columns = options.header ? fields : fields.map((_, i) => String(i))
      if (options.header) continue
    }
    rows.push(fields)
  }
  return { columns: columns ?? [], rows }
}

/**
 * The rows of a CSV file one after another, the header among them, of which only a piece is in memory. Throws VqConfigError
 * where there is no such file, VqFormatError where it is not UTF-8, rows differ in length, or quotes do not fit.
 */
export function csvRows(path: string, options: CsvOptions = {}): AsyncGenerator<CsvRow> {
  return parsedRows<string>(path, parserOptions(path, options), true)
}

/**
 * The same with fields as bytes, whatever their encoding and however many a row has, so that one bad row is no loss of the others.
 */
export function csvByteRows(path: string, options: CsvOptions = {}): AsyncGenerator<CsvRow<Buffer>> {
  return parsedRows<Buffer>(path, { ...parserOptions(path, options), ...tolerant }, false)
}

// A byte order mark would turn the parser from bytes to text.
const tolerant = { encoding: null, bom: false, relax_column_count: true, relax_quotes: true } as const

/** The rows in a piece of such a file. */
export async function parseByteRows(bytes: Buffer, path: string, options: CsvOptions): Promise<Buffer[][]> {
  const { parse } = await import('csv-parse/sync')
  return parse(bytes, { ...parserOptions(path, options), ...tolerant }) as unknown as Buffer[][]
}

async function* parsedRows<Field>(
  path: string,
  options: Options,
  utf8: boolean,
): AsyncGenerator<CsvRow<Field>> {
  if (!(await stat(path).catch(() => undefined))?.isFile())
    throw missing('reading CSV', `the file ${path}`, 'none', 'Check the path.')
  const { parse } = await import('csv-parse')
  const check = new Utf8Check(path)
  const parser = parse({ ...options, info: true })
  let mark = 0
  let first = true
  async function* checked(): AsyncGenerator<Buffer> {
    for await (const part of createReadStream(path)) {
      const bytes = part as Buffer
      if (utf8) check.add(bytes)
      else if (first && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) mark = 3
      yield first && mark > 0 ? bytes.subarray(mark) : bytes
      first = false
    }
    check.end()
  }
  const source = Readable.from(checked())
  source.on('error', error => parser.destroy(error))
  source.pipe(parser)
  let from = 0
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: Field[]
      info: { bytes: number }
    }>) {
      const to = info.bytes + mark
      yield { fields: record, from: from === 0 ? mark : from, to }
      from = to
    }
  } catch (cause) {
    if (cause instanceof VqError) throw cause
    const { message, code } = cause as NodeJS.ErrnoException
    throw new VqFormatError({
      operation: `reading ${path} as CSV`,
      expected: 'rows of equally many fields, with quotes closed',
      received: `${code ?? 'an error'}: ${message}`.slice(0, 300),
      remedy: 'Repair the row, or pass the delimiter and quote that the file uses.',
      cause,
    })
  } finally {
    source.destroy()
  }
}

/** The fields of one row's bytes. */
export async function parseRow(bytes: Buffer, path: string, options: CsvOptions): Promise<string[]> {
  const { parse } = await import('csv-parse/sync')
  const rows = parse(bytes, parserOptions(path, options)) as unknown as string[][]
  if (rows.length === 1) return rows[0]
  throw new VqConfigError({
    operation: `reading ${path} as CSV`,
    expected: 'the file as it was when it was opened',
    received: `${rows.length} rows in the place of one`,
    remedy: 'Open it again.',
  })
}
