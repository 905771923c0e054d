import type { ByteSource } from '../byte-source.js'
import { type PickleOptions, unitsFor } from './machine.js'
import { runPickle, VqCutError } from './run.js'
import type { PickleValue } from './values.js'

/** The most that is taken for one pickle where nothing tells its length. */
const mostPickled = 2 ** 29

/** Pickles one after the other in a part of a source, with raw bytes in between. */
export class PickleStream {
  readonly source: ByteSource
  readonly end: number
  at: number

  constructor(source: ByteSource, at: number, end: number) {
    this.source = source
    this.at = at
    this.end = end
  }

  /** Reads the next pickle. Its length is unknown: a first window is tried, then one twice as long. */
  async next(options: PickleOptions): Promise<PickleValue> {
    const most = unitsFor(this.end - this.at)
    for (let length = 1 << 16; ; length *= 2) {
      const bytes = await this.source.read(this.at, Math.min(length, this.end - this.at, mostPickled))
      try {
        const { value, end } = runPickle(bytes, this.source.name, { most, ...options })
        this.at += end
        return value
      } catch (error) {
        if (!(error instanceof VqCutError) || bytes.length < length) throw error
      }
    }
  }

  /** The next bytes as they are. */
  async raw(length: number): Promise<DataView> {
    const bytes = await this.source.read(this.at, Math.min(length, this.end - this.at))
    if (bytes.length < length) await this.source.read(this.end, this.source.size - this.end + 1)
    this.at += length
    return new DataView(bytes.buffer)
  }
}
