import { FileBytes } from './file-bytes.js'

/** Bytes that are read where they are needed. */
export interface ByteSource {
  /** How errors call it. */
  readonly name: string
  readonly size: number
  /** Exactly `length` bytes, in memory of their own. Throws VqFormatError where there are fewer. */
  read(at: number, length: number): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

/** Opens a file, whose `format` errors name. */
export async function openSource(path: string, format: string): Promise<ByteSource> {
  const file = await FileBytes.open(path, format)
  const { size } = file
  return {
    name: path,
    size,
    async read(at, length) {
      if (!(at >= 0 && Number.isSafeInteger(at + length) && at + length <= size))
        throw file.bad(`${length} bytes at ${at}`, `a file of ${size} bytes`)
      return file.read(at, length)
    },
    close: () => file.close(),
  }
}
