import { expectConfig, expectInteger, VqConfigError } from '@vq/core'
import { expectIndices } from '../dataset.js'
import { FileRanges } from '../files/file-ranges.js'
import { damaged } from '../files/places.js'
import { type LabeledDataset, labeled } from '../images/byte-images.js'
import { type CsvOptions, csvRows, parseRow } from './csv.js'
import { type SequenceOptions, sequencer, type TextDataset } from './sequences.js'

export interface CsvTextOptions extends CsvOptions, SequenceOptions {
  /** The column of the text, or several that are joined with a space: numbers from 0, or names with `header`. Default 0. */
  text?: number | string | readonly (number | string)[]
  /** The column of the class. */
  label?: number | string
  /** Names of the classes, in the order of the column's sorted values. Default: these values. */
  classes?: readonly string[]
  /** Of larger files only where the rows lie is kept. Default 256 MiB. */
  memoryBytes?: number
}

/** Texts of a table; with `label` the extra `label` [N] int32, classes and labels too. */
export interface CsvText extends TextDataset, Partial<Pick<LabeledDataset, 'classes' | 'labelIds'>> {}

/**
 * The rows of a CSV or TSV file as sequences of token ids, int32 [length], with their classes: AG News is
 * `{ label: 0, text: [1, 2] }`, SST-2 `{ text: 0, label: 1 }`. Values of the label column are sorted as numbers where all are, else
 * by code point. Throws VqConfigError for columns that are not there, VqFormatError where the file is not UTF-8 or no table.
 */
export async function csvText(path: string, options: CsvTextOptions = {}): Promise<CsvText> {
  const { text = 0, label, header = false, memoryBytes = 2 ** 28 } = options
  expectInteger('csvText', 'memoryBytes', memoryBytes, 0)
  const { length, sequences } = sequencer('csvText', options)
  // The texts are kept or the rows' places, never the file's bytes.
  const file = await FileRanges.open('csvText', path, 0)

  let columns: { texts: number[]; label: number | undefined } | undefined
  const kept: string[] | undefined = file.size <= memoryBytes ? [] : undefined
  const offsets: number[] = []
  const labels: string[] = []
  const join = (fields: readonly string[]): string =>
    (columns as { texts: number[] }).texts.map(at => fields[at]).join(' ')
  let names = header
  for await (const { fields, from, to } of csvRows(path, options)) {
    if (columns === undefined) {
      const find = (column: number | string): number => columnOf(path, fields, header, column)
      const texts = (Array.isArray(text) ? text : [text]) as (number | string)[]
      columns = { texts: texts.map(find), label: label === undefined ? undefined : find(label) }
    }
    if (names) {
      names = false
      continue
    }
    if (kept === undefined) offsets.push(from, to)
    else kept.push(join(fields))
    if (columns.label !== undefined) labels.push(fields[columns.label].trim())
  }
  const count = kept?.length ?? offsets.length / 2
  if (count === 0) throw damaged(path, 'CSV', 'at least one row', 'none')

  const texts = async (operation: string, indices: Int32Array): Promise<string[]> => {
    expectIndices(operation, { length: count }, indices)
    if (kept !== undefined) return Array.from(indices, i => kept[i])
    const ranges = Array.from(indices, i => ({ from: offsets[2 * i], to: offsets[2 * i + 1] }))
    const rows = await file.read(ranges)
    return Promise.all(rows.map(async bytes => join(await parseRow(bytes, path, options))))
  }
  const classified = label === undefined ? undefined : classify(labels, options.classes)
  return {
    length: count,
    shape: [length],
    dtype: 'int32',
    texts: indices => texts('csvText.texts', indices),
    batch: async indices => sequences(await texts('csvText.batch', indices)).ids,
    ...classified,
    extras: async indices => ({
      ...sequences(await texts('csvText.extras', indices)).extras,
      ...classified?.extras(indices),
    }),
  }
}

function columnOf(path: string, first: readonly string[], header: boolean, column: number | string): number {
  const at = typeof column === 'number' ? column : header ? first.indexOf(column) : -1
  if (Number.isInteger(at) && at >= 0 && at < first.length) return at
  throw new VqConfigError({
    operation: 'csvText',
    expected: `column ${JSON.stringify(column)} in ${path}`,
    received: header ? first.join(', ').slice(0, 200) : `${first.length} columns without names`,
    remedy: 'Number columns from 0, or pass header: true and their names.',
  })
}

function classify(
  values: readonly string[],
  names: readonly string[] | undefined,
): ReturnType<typeof labeled> {
  const distinct = [...new Set(values)]
  const numeric = distinct.every(value => value !== '' && Number.isFinite(Number(value)))
  distinct.sort(numeric ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : 1))
  expectConfig(
    names === undefined || names.length === distinct.length,
    'csvText',
    `names for ${distinct.length} classes: ${distinct.slice(0, 20).join(', ')}`,
    names,
    'Pass one name for each value of the column, in this order.',
  )
  const ids = new Map(distinct.map((value, id) => [value, id]))
  return labeled(
    'csvText',
    Int32Array.from(values, value => ids.get(value) as number),
    names ?? distinct,
  )
}
