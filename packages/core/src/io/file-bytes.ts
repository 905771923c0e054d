import type { Stats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { expectConfig } from '../check.js'
import { VqFormatError } from '../errors.js'

// Node reads at most 2 GiB at once.
const largestRead = 1 << 30

/** The error of a file that is not what it claims. */
export function badFile(
  source: string,
  format: string,
  expected: string,
  received: string,
  remedy = `The file is damaged, incomplete or not ${format}: fetch or save it again.`,
): VqFormatError {
  return new VqFormatError({ operation: `reading ${source} as ${format}`, expected, received, remedy })
}

/** Throws VqConfigError for what is no path. */
export function expectPath(operation: string, path: unknown): asserts path is string {
  expectConfig(typeof path === 'string', operation, 'a path', path, 'Pass the path as a string.')
}

/** Throws VqConfigError for what are no bytes. */
export function expectBytes(operation: string, bytes: unknown): asserts bytes is Uint8Array {
  expectConfig(bytes instanceof Uint8Array, operation, 'bytes', bytes, 'Pass a Uint8Array or Buffer.')
}

/** A plain file, read by position. Every failure is a VqFormatError that names the path, with Node's own as its cause. */
export class FileBytes {
  readonly path: string
  /** What is read, in words for errors, such as 'safetensors'. */
  readonly format: string
  /** Bytes, when it was opened. */
  readonly size: number
  /** Differs between files and between versions of one. */
  readonly stamp: string
  private readonly handle: FileHandle

  private constructor(path: string, format: string, { size, ino, mtimeMs }: Stats, handle: FileHandle) {
    this.path = path
    this.format = format
    this.size = size
    this.stamp = `${ino} ${size} ${mtimeMs}`
    this.handle = handle
  }

  static async open(path: string, format: string): Promise<FileBytes> {
    expectPath(`reading ${format}`, path)
    // A pipe or device is not even opened: that alone may wait for ever.
    const before = await attempt(path, format, () => stat(path))
    if (!before.isFile())
      throw badFile(path, format, 'a file', before.isDirectory() ? 'a folder' : 'no plain file')
    const handle = await attempt(path, format, () => open(path, 'r'))
    try {
      return new FileBytes(path, format, await attempt(path, format, () => handle.stat()), handle)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Fills `bytes` from the position. Throws where the file ends before. */
  async readInto(bytes: Uint8Array, at: number): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const part = Math.min(bytes.length - done, largestRead)
      const { bytesRead } = await attempt(this.path, this.format, () =>
        this.handle.read(bytes, done, part, at + done),
      )
      if (bytesRead === 0)
        throw this.bad(`${bytes.length} bytes at ${at}`, `${done} bytes: it ended or shrank`)
      done += bytesRead
    }
  }

  /** Reads `length` bytes, which must lie in the file. */
  async read(at: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!(at + length <= this.size))
      throw this.bad(`${length} bytes at ${at}`, `a file of ${this.size} bytes`)
    const bytes = this.allocate(length, () => new Uint8Array(length))
    await this.readInto(bytes, at)
    return bytes
  }

  /** A new array; throws where memory does not suffice. */
  allocate<T>(length: number, make: () => T): T {
    try {
      return make()
    } catch (cause) {
      throw new VqFormatError({
        operation: `reading ${this.path} as ${this.format}`,
        expected: 'parts that fit into memory',
        received: `${length} elements`,
        remedy: 'Read tensors one at a time, or slices of their rows.',
        cause,
      })
    }
  }

  bad(expected: string, received: string): VqFormatError {
    return badFile(this.path, this.format, expected, received)
  }

  close(): Promise<void> {
    return this.handle.close()
  }
}

async function attempt<T>(path: string, format: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw new VqFormatError({
      operation: `reading ${path} as ${format}`,
      expected: 'a file that can be read',
      received: code === 'ENOENT' ? `none (${code})` : code,
      remedy: 'Check the path and its permissions.',
      cause,
    })
  }
}
