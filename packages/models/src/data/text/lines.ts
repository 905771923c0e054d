import { FileRanges, type Range } from '../files/file-ranges.js'
import { damaged } from '../files/places.js'
import { Utf8Check } from './utf8.js'

/** Where the lines of a file lie: line i is [starts[i], ends[i]) without its line end. */
export interface Lines {
  file: FileRanges
  starts: Float64Array
  ends: Float64Array
  /** Number of each line in the file, from 0, counting those that were left out. */
  numbers: Float64Array
}

const lineFeed = 10
const carriageReturn = 13

/** A growing list of numbers without a JavaScript object each. */
class Numbers {
  private values = new Float64Array(1024)
  private count = 0

  push(value: number): void {
    if (this.count === this.values.length) {
      const larger = new Float64Array(2 * this.count)
      larger.set(this.values)
      this.values = larger
    }
    this.values[this.count++] = value
  }

  done(): Float64Array {
    return this.values.slice(0, this.count)
  }
}

/**
 * Finds the lines of a UTF-8 file, which end with LF or CR LF; a last one without an end counts. Lines of nothing but white
 * space are left out unless `keepEmpty`. Throws VqFormatError where the file has no line or, with `utf8`, is not UTF-8.
 */
export async function findLines(
  path: string,
  memoryBytes: number,
  keepEmpty: boolean,
  utf8: boolean = true,
): Promise<Lines> {
  const file = await FileRanges.open('textFile', path, memoryBytes)
  const check = new Utf8Check(path)
  const [starts, ends, numbers] = [new Numbers(), new Numbers(), new Numbers()]
  let number = 0
  let start = 0
  let at = 0
  let lastByte = 0
  // Whether the line so far has a byte that is no white space.
  let filled = false
  const endLine = (end: number): void => {
    if (filled || keepEmpty) {
      starts.push(start)
      ends.push(end)
      numbers.push(number)
    }
    number++
    filled = false
  }
  for await (const piece of file.pieces()) {
    if (utf8) check.add(piece)
    let from = 0
    if (at === 0 && piece[0] === 0xef && piece[1] === 0xbb && piece[2] === 0xbf) start = from = 3
    for (let i = from; i < piece.length; i++) {
      const byte = piece[i]
      if (byte === lineFeed) {
        endLine(at + i - (lastByte === carriageReturn && at + i > start ? 1 : 0))
        start = at + i + 1
      } else if (byte !== 32 && (byte < 9 || byte > 13)) filled = true
      lastByte = byte
    }
    at += piece.length
  }
  if (utf8) check.end()
  if (start < at) endLine(at)
  const lines = { file, starts: starts.done(), ends: ends.done(), numbers: numbers.done() }
  if (lines.starts.length === 0) throw damaged(path, 'text', 'at least one line', 'none')
  return lines
}

/** The texts of these lines. */
export async function readLines(lines: Lines, indices: Int32Array): Promise<string[]> {
  return (await readLineBytes(lines, indices)).map(bytes => bytes.toString('utf8'))
}

/** Their bytes. */
export function readLineBytes({ file, starts, ends }: Lines, indices: Int32Array): Promise<Buffer[]> {
  const ranges: Range[] = Array.from(indices, i => ({ from: starts[i], to: ends[i] }))
  return file.read(ranges)
}
