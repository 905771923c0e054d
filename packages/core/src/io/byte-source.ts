import { constants } from 'node:buffer'
import { type FileHandle, open } from 'node:fs/promises'
import { VqFormatError, VqMemoryError } from '../errors.js'

/** Bytes that are read where they are needed: a file, or an array that stands for one. */
export interface ByteSource {
  /** How errors call it. */
  readonly name: string
  readonly size: number
  /** Exactly `length` bytes, in memory of their own. Throws VqFormatError where there are fewer. */
  read(at: number, length: number): Promise<Uint8Array<ArrayBuffer>>
  close(): Promise<void>
}

/** Opens a file for reading at any place. */
export async function openFile(path: string): Promise<ByteSource> {
  const file = await open(path, 'r')
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw outside(path, 'a file', stats.isDirectory() ? 'a folder' : 'a device or pipe')
    const { size } = stats
    return {
      name: path,
      size,
      read: (at, length) => readFrom(file, path, size, at, length),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** An array in place of a file. */
export function sourceOf(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(at, length) {
      checkRange(name, bytes.length, at, length)
      return new Uint8Array(bytes.subarray(at, at + length))
    },
    async close() {},
  }
}

async function readFrom(
  file: FileHandle,
  path: string,
  size: number,
  at: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(path, size, at, length)
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), at + done)
    if (bytesRead === 0) throw outside(path, `${length} bytes at ${at}`, `${done}`)
    done += bytesRead
  }
  return bytes
}

function checkRange(name: string, size: number, at: number, length: number): void {
  if (!(Number.isSafeInteger(at) && Number.isSafeInteger(length) && at >= 0 && length >= 0))
    throw outside(name, 'offsets and lengths that are whole numbers', `${length} bytes at ${at}`)
  if (at + length > size) throw outside(name, `${length} bytes at ${at}`, `a file of ${size} bytes`)
  if (length > constants.MAX_LENGTH)
    throw new VqMemoryError({
      operation: `reading ${name}`,
      expected: `at most ${constants.MAX_LENGTH} bytes at a time`,
      received: `${length} bytes`,
      remedy: 'Save it in smaller parts.',
    })
}

function outside(name: string, expected: string, received: string): VqFormatError {
  return new VqFormatError({
    operation: `reading ${name}`,
    expected,
    received,
    remedy: 'The file is damaged or incomplete: fetch or save it again.',
  })
}
