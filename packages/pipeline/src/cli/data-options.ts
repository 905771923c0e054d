import { type Command, InvalidArgumentError } from 'commander'
import type { VQPipeline } from '../pipeline/index.js'
import { openSource, type Source, type SourceOptions } from '../sources/index.js'
import { shellWords } from './run.js'

/** What says where items come from; the same for all commands. */
export interface DataOptions {
  data: string[]
  column?: string[]
  idColumn?: string
  labelColumn?: string
  captionColumn?: string
  captions?: string
  header?: boolean
  textUnit?: 'line' | 'file'
  frameStride?: number
  strict?: boolean
}

export function addDataOptions(command: Command, required = true): Command {
  const data = '--data <paths...>'
  const what = "folders, files, quoted patterns ('photos/**/*.jpg') or tables (CSV, TSV, JSON Lines, Parquet)"
  if (required) command.requiredOption(data, what)
  else command.option(data, what)
  return command
    .option(
      '--column <names...>',
      'column of a table that holds the items (a number where there is no header); several texts are joined',
    )
    .option('--id-column <name>', 'column of ids (default: row-<n>)')
    .option('--label-column <name>', 'column of classes, for analysis')
    .option('--caption-column <name>', 'column of captions')
    .option(
      '--captions <txt|file.csv>',
      "captions of images: 'txt' files beside them, or a CSV file of file and caption",
    )
    .option('--no-header', 'the first line of a CSV file is an item')
    .option(
      '--text-unit <line|file>',
      'what a text file is: an item per line, or one item',
      oneOf('line', 'file'),
    )
    .option('--frame-stride <n>', 'from frame to frame of a video', whole)
    .option('--strict', 'stop at the first bad item instead of skipping it')
}

/** The options of the data as words of a command line. */
export function dataWords(options: Partial<DataOptions>): string {
  const { data, column, idColumn, labelColumn, captionColumn, captions, header, textUnit, frameStride } =
    options
  const words: readonly [string, readonly (string | number)[] | undefined][] = [
    ['--data', data],
    ['--column', column],
    ['--id-column', idColumn === undefined ? undefined : [idColumn]],
    ['--label-column', labelColumn === undefined ? undefined : [labelColumn]],
    ['--caption-column', captionColumn === undefined ? undefined : [captionColumn]],
    ['--captions', captions === undefined ? undefined : [captions]],
    ['--no-header', header === false ? [] : undefined],
    ['--text-unit', textUnit === undefined ? undefined : [textUnit]],
    ['--frame-stride', frameStride === undefined ? undefined : [frameStride]],
    ['--strict', options.strict ? [] : undefined],
  ]
  return shellWords(
    words.flatMap(([name, given]) => (given === undefined ? [] : [name, ...given.map(String)])),
  )
}

/** Opens the data as a pipeline, or a modality and shape, wants it. */
export async function openData(
  options: DataOptions,
  of: { modality: SourceOptions['modality']; shape?: readonly number[] },
  more: Pick<SourceOptions, 'onSkip' | 'signal'>,
): Promise<Source> {
  const { data, column, idColumn, labelColumn, captionColumn, captions, textUnit, frameStride, strict } =
    options
  return await openSource(data, {
    modality: of.modality,
    ...(of.shape !== undefined && of.shape.length > 0 && { shape: of.shape }),
    ...(column !== undefined && { column: column.length === 1 ? (column[0] as string) : column }),
    ...(idColumn !== undefined && { idColumn }),
    ...(labelColumn !== undefined && { labelColumn }),
    ...(captionColumn !== undefined && { captionColumn }),
    ...(captions !== undefined && { captions }),
    ...(options.header === false && { header: false }),
    ...(textUnit !== undefined && { textUnit }),
    ...(frameStride !== undefined && { frameStride }),
    ...(strict !== undefined && { strict }),
    ...more,
  })
}

/** Opens the data as a pipeline takes it; of pairs the pictures. */
export function openFor(
  pipeline: VQPipeline,
  options: DataOptions,
  more: Pick<SourceOptions, 'onSkip' | 'signal'>,
): Promise<Source> {
  const [modality] = pipeline.modalities
  return openData(
    options,
    { modality: modality as SourceOptions['modality'], shape: pipeline.itemShape },
    more,
  )
}

export function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('A whole number is needed.')
  return Number(text)
}

export function oneOf<T extends string>(...choices: readonly T[]): (text: string) => T {
  return text => {
    if (!choices.includes(text as T))
      throw new InvalidArgumentError(`One of ${choices.join(', ')} is needed.`)
    return text as T
  }
}
