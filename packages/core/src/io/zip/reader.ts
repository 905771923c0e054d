import yauzl from 'yauzl'
import type { ByteSource } from '../byte-source.js'

const windowSize = 1 << 16

/** yauzl's view of a source. It asks for a few dozen bytes at a time, so what follows them is read along. */
export class SourceReader extends yauzl.RandomAccessReader {
  /** Where the last read ended. */
  end: number = 0
  readonly #source: ByteSource
  #from = 0
  #window: Uint8Array = new Uint8Array(0)

  constructor(source: ByteSource) {
    super()
    this.#source = source
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#fetch(position, length).then(
      bytes => {
        buffer.set(bytes, offset)
        this.end = position + length
        callback(null)
      },
      error => callback(error as Error),
    )
  }

  async #fetch(at: number, length: number): Promise<Uint8Array> {
    if (length > windowSize) return this.#source.read(at, length)
    if (at < this.#from || at + length > this.#from + this.#window.length) {
      const most = Math.max(0, this.#source.size - at)
      this.#window = await this.#source.read(at, Math.max(length, Math.min(windowSize, most)))
      this.#from = at
    }
    return this.#window.subarray(at - this.#from, at - this.#from + length)
  }
}
