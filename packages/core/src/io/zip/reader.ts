import yauzl from 'yauzl'
import type { ByteSource } from '../byte-source.js'

const windowSize = 1 << 16

/** Serves small reads that follow each other from one larger read. */
export class ReadAhead {
  readonly #source: ByteSource
  #from = 0
  #window: Uint8Array<ArrayBuffer> = new Uint8Array(0)

  constructor(source: ByteSource) {
    this.#source = source
  }

  /** A view that is good until the next read. */
  async read(at: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (length > windowSize / 2) return this.#source.read(at, length)
    if (at < this.#from || at + length > this.#from + this.#window.length) {
      const rest = Math.max(0, this.#source.size - at)
      this.#window = await this.#source.read(at, Math.max(length, Math.min(windowSize, rest)))
      this.#from = at
    }
    return this.#window.subarray(at - this.#from, at - this.#from + length)
  }
}

/** yauzl's view of a source. It asks for a few dozen bytes at a time. */
export class SourceReader extends yauzl.RandomAccessReader {
  /** Where the last read ended. */
  end: number = 0
  readonly #bytes: ReadAhead

  constructor(source: ByteSource) {
    super()
    this.#bytes = new ReadAhead(source)
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#bytes.read(position, length).then(
      bytes => {
        buffer.set(bytes, offset)
        this.end = position + length
        callback(null)
      },
      error => callback(error as Error),
    )
  }
}
