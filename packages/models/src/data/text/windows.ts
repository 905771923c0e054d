// A text as one long sequence of bytes, characters or tokens, cut into windows.
import { StringDecoder } from 'node:string_decoder'
import { expectConfig, VqConfigError, VqMemoryError, VqValueError } from '@vq/core'
import { type Dataset, expectIndices } from '../dataset.js'
import { FileRanges } from '../files/file-ranges.js'
import { damaged } from '../files/places.js'
import { expectToken, type Tokenize } from './sequences.js'
import { Utf8Check } from './utf8.js'

/** Windows of `length` ids, int32 [length], a window every `stride` ids; what is left at the end is dropped. */
export interface TextWindows extends Dataset<Int32Array> {
  readonly dtype: 'int32'
  /** How many bytes, characters or tokens the file has. */
  readonly total: number
  /** By id, of characters. */
  readonly vocabulary?: readonly string[]
}

interface Cut {
  length: number
  stride: number
}

const mostIds = 2 ** 28

function windows(
  path: string,
  total: number,
  { length, stride }: Cut,
  read: (starts: Float64Array) => Promise<Int32Array> | Int32Array,
): TextWindows {
  const count = Math.floor((total - length) / stride) + 1
  if (!(count >= 1))
    throw new VqConfigError({
      operation: 'textFile',
      expected: `${path} to hold at least one window of ${length}`,
      received: `${total}`,
      remedy: 'Take a shorter length or a longer text.',
    })
  return {
    length: count,
    shape: [length],
    dtype: 'int32',
    total,
    batch: indices => {
      expectIndices('textFile.batch', { length: count }, indices)
      return read(Float64Array.from(indices, i => i * stride))
    },
  }
}

/** Windows of bytes, read from the file where it is large. */
export async function byteWindows(path: string, memoryBytes: number, cut: Cut): Promise<TextWindows> {
  const file = await FileRanges.open('textFile', path, memoryBytes)
  return windows(path, file.size, cut, async starts => {
    const parts = await file.read(Array.from(starts, from => ({ from, to: from + cut.length })))
    const out = new Int32Array(starts.length * cut.length)
    for (const [n, part] of parts.entries()) out.set(part, n * cut.length)
    return out
  })
}

/** Windows of characters (code points), by their number in `vocabulary`: by default those of the file, sorted. */
export async function characterWindows(
  path: string,
  cut: Cut,
  vocabulary: readonly string[] | undefined,
): Promise<TextWindows> {
  const points = await collect(path, text => Int32Array.from(text, c => c.codePointAt(0) as number))
  const names =
    vocabulary ??
    Array.from(new Set(points))
      .sort((a, b) => a - b)
      .map(point => String.fromCodePoint(point))
  const ids = new Map(names.map((name, id) => [name.codePointAt(0) as number, id]))
  expectConfig(
    ids.size === names.length && names.every(name => Array.from(name).length === 1),
    'textFile',
    'a vocabulary of single characters, none twice',
    vocabulary,
    'Pass the vocabulary that the other file gave.',
  )
  for (let i = 0; i < points.length; i++) {
    const id = ids.get(points[i])
    if (id === undefined)
      throw new VqValueError({
        operation: 'textFile',
        expected: `characters of the vocabulary in ${path}`,
        received: `${JSON.stringify(String.fromCodePoint(points[i]))} at character ${i}`,
        remedy: 'Make the vocabulary from all texts.',
      })
    points[i] = id
  }
  return { ...inMemory(path, points, cut), vocabulary: names }
}

/** Windows of a tokenizer's ids; it is given whole lines, about a megabyte at a time. */
export async function tokenWindows(path: string, cut: Cut, tokenize: Tokenize): Promise<TextWindows> {
  const ids = await collect(path, text => Int32Array.from(tokenize(text), id => expectToken('textFile', id)))
  return inMemory(path, ids, cut)
}

function inMemory(path: string, ids: Int32Array, cut: Cut): TextWindows {
  return windows(path, ids.length, cut, starts => {
    const out = new Int32Array(starts.length * cut.length)
    for (let n = 0; n < starts.length; n++)
      out.set(ids.subarray(starts[n], starts[n] + cut.length), n * cut.length)
    return out
  })
}

// The file's text as ids, taken piece by piece and cut at line ends where there are any.
async function collect(path: string, take: (text: string) => Int32Array): Promise<Int32Array> {
  const file = await FileRanges.open('textFile', path, 0)
  const check = new Utf8Check(path)
  const decoder = new StringDecoder('utf8')
  const parts: Int32Array[] = []
  let total = 0
  let rest = ''
  const add = (text: string): void => {
    if (text === '') return
    const ids = take(text)
    parts.push(ids)
    total += ids.length
    if (total > mostIds)
      throw new VqMemoryError({
        operation: 'textFile',
        expected: `at most ${mostIds} characters or tokens`,
        received: `more in ${path}`,
        remedy: "Use unit 'bytes' or 'lines', which are read as they are needed, or split the file.",
      })
  }
  for await (const piece of file.pieces()) {
    check.add(piece)
    const text = rest + decoder.write(piece)
    const end = text.lastIndexOf('\n') + 1
    // A line of megabytes is taken in parts, but never between two halves of one character.
    const cut = end > 0 ? end : text.length > 1 << 20 ? wholeCharacters(text) : 0
    add(text.slice(0, cut))
    rest = text.slice(cut)
  }
  check.end()
  add(rest + decoder.end())
  if (total === 0) throw damaged(path, 'text', 'at least one character', 'none')
  const all = new Int32Array(total)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function wholeCharacters(text: string): number {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
}
