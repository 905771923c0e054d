import { expectConfig, expectInteger, expectOneOf } from '@vq/core'
import { expectIndices } from '../dataset.js'
import { findLines, readLines } from './lines.js'
import { type SequenceOptions, sequencer, type TextDataset, type Tokenize } from './sequences.js'
import { byteWindows, characterWindows, type TextWindows, tokenWindows } from './windows.js'

export interface TextLinesOptions extends SequenceOptions {
  /** A sample per line. */
  unit?: 'lines'
  /** Keep lines of nothing but white space. Default false. */
  keepEmpty?: boolean
  /** Larger files are read as their parts are needed. Default 256 MiB. */
  memoryBytes?: number
}

export interface TextWindowsOptions {
  /** What the windows are made of. */
  unit: 'bytes' | 'characters' | 'tokens'
  /** Ids per window. Default 128. */
  length?: number
  /** From window to window. Default: `length`, so that none overlap. */
  stride?: number
  /** Of tokens; it is given whole lines, with their ends. */
  tokenize?: Tokenize
  /** Of characters: the ones to number, such as those of the training text. Default: the file's own, sorted. */
  vocabulary?: readonly string[]
  /** Larger files of bytes are read as their parts are needed. Default 256 MiB. */
  memoryBytes?: number
}

/**
 * A UTF-8 text file as sequences of ids, int32 [length]: a line each, or windows of bytes, characters or tokens. Lines and bytes
 * of files over `memoryBytes` are read when they are asked for; of lines only where each begins is kept. Characters and tokens are
 * kept as int32. Throws VqConfigError where the file or an option is missing, VqFormatError where it is not UTF-8 (bytes may
 * be anything), VqValueError for a character outside a given vocabulary, VqMemoryError over 2^28 characters or tokens.
 *
 * @example
 * const lines = await textFile('reviews.txt', { tokenize: text => tokenizer.encode(text).ids, length: 64 })
 * const plays = await textFile('plays.txt', { unit: 'characters', length: 256 })
 */
export function textFile(path: string, options?: TextLinesOptions): Promise<TextDataset>
export function textFile(path: string, options: TextWindowsOptions): Promise<TextWindows>
export async function textFile(
  path: string,
  options: TextLinesOptions | TextWindowsOptions = {},
): Promise<TextDataset | TextWindows> {
  const { memoryBytes = 2 ** 28, length = 128 } = options
  const { unit = 'lines' } = options
  expectOneOf('textFile', 'unit', unit, ['lines', 'bytes', 'characters', 'tokens'])
  expectInteger('textFile', 'memoryBytes', memoryBytes, 0)
  if (options.unit === undefined || options.unit === 'lines') return textLines(path, options, memoryBytes)
  const { stride = length, tokenize, vocabulary } = options as TextWindowsOptions
  expectInteger('textFile', 'length', length, 1, 2 ** 24)
  expectInteger('textFile', 'stride', stride, 1)
  if (unit === 'bytes') return byteWindows(path, memoryBytes, { length, stride })
  if (unit === 'characters') return characterWindows(path, { length, stride }, vocabulary)
  expectConfig(
    typeof tokenize === 'function',
    'textFile',
    "tokenize with unit 'tokens'",
    tokenize,
    'Pass a function that gives the ids of a text.',
  )
  return tokenWindows(path, { length, stride }, tokenize)
}

async function textLines(path: string, options: TextLinesOptions, memoryBytes: number): Promise<TextDataset> {
  const { length, sequences } = sequencer('textFile', options)
  const lines = await findLines(path, memoryBytes, options.keepEmpty ?? false)
  const texts = async (operation: string, indices: Int32Array): Promise<string[]> => {
    expectIndices(operation, lines.starts, indices)
    return readLines(lines, indices)
  }
  return {
    length: lines.starts.length,
    shape: [length],
    dtype: 'int32',
    texts: indices => texts('textFile.texts', indices),
    batch: async indices => sequences(await texts('textFile.batch', indices)).ids,
    extras: async indices => sequences(await texts('textFile.extras', indices)).extras,
  }
}
