import { open, readFile, stat } from 'node:fs/promises'
import { VqFormatError } from '@vq/core'
import { mapBounded } from './bounded.js'
import { missing } from './places.js'

/** From the first byte to before the last: [from, to). */
export interface Range {
  from: number
  to: number
}

const readsAtOnce = 8

// Neighbours become one read where little lies between them.
const widestGap = 4096
const largestRead = 1 << 20

function together(ranges: readonly Range[]): (Range & { members: Range[] })[] {
  const out: (Range & { members: Range[] })[] = []
  for (const range of ranges) {
    const last = out.at(-1)
    const near = last !== undefined && range.from >= last.to && range.from - last.to <= widestGap
    if (near && range.to - last.from <= largestRead) {
      last.to = range.to
      last.members.push(range)
    } else out.push({ ...range, members: [range] })
  }
  return out
}

/** Parts of one file: kept in memory where it is small, else read when they are asked for. No file stays open. */
export class FileRanges {
  readonly path: string
  readonly size: number
  private readonly stamp: string
  private readonly whole: Buffer | undefined

  private constructor(path: string, size: number, stamp: string, whole: Buffer | undefined) {
    this.path = path
    this.size = size
    this.stamp = stamp
    this.whole = whole
  }

  /** Files of up to `memoryBytes` are kept in memory. Throws VqConfigError where there is no such file. */
  static async open(operation: string, path: string, memoryBytes: number): Promise<FileRanges> {
    const info = await stat(path).catch(() => undefined)
    if (!info?.isFile())
      throw missing(operation, `the file ${path}`, info ? 'no plain file' : 'nothing', 'Check the path.')
    const whole = info.size <= memoryBytes ? await readFile(path) : undefined
    return new FileRanges(path, whole?.length ?? info.size, `${info.size} ${info.mtimeMs}`, whole)
  }

  /** The bytes of each range. Throws VqFormatError where the file is no longer the one that was opened. */
  async read(ranges: readonly Range[]): Promise<Buffer[]> {
    const { whole } = this
    if (whole !== undefined) return ranges.map(({ from, to }) => whole.subarray(from, to))
    if (ranges.length === 0) return []
    const file = await open(this.path, 'r').catch(cause => {
      throw this.changed(String(cause.code ?? cause))
    })
    try {
      const info = await file.stat()
      if (`${info.size} ${info.mtimeMs}` !== this.stamp) throw this.changed('another version of it')
      const parts = await mapBounded(together(ranges), readsAtOnce, async ({ from, to, members }) => {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(to - from), 0, to - from, from)
        if (bytesRead !== to - from) throw this.changed(`${bytesRead} bytes at ${from}`)
        return members.map(member => buffer.subarray(member.from - from, member.to - from))
      })
      return parts.flat()
    } finally {
      await file.close()
    }
  }

  /** The whole file piece by piece. */
  async *pieces(bytes: number = 1 << 20): AsyncGenerator<Buffer> {
    for (let from = 0; from < this.size; from += bytes)
      yield (await this.read([{ from, to: Math.min(this.size, from + bytes) }]))[0]
  }

  private changed(received: string): VqFormatError {
    return new VqFormatError({
      operation: `reading ${this.path}`,
      expected: 'the file as it was when it was opened',
      received,
      remedy: 'Open it again.',
    })
  }
}
