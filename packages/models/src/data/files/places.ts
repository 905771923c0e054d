// What data sets ask of the file system, with errors that say which file is wanted where.
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { VqConfigError, VqFormatError, VqMemoryError } from '@vq/core'

const unzip = promisify(gunzip)

/** The error of a file that breaks its format. */
export function damaged(path: string, format: string, expected: string, received: string): VqFormatError {
  return new VqFormatError({
    operation: `reading ${path} as ${format}`,
    expected,
    received,
    remedy: `The file is damaged, incomplete or not ${format}: fetch it again.`,
  })
}

/** The error of a file that is not there. */
export function missing(
  operation: string,
  expected: string,
  received: string,
  remedy: string,
): VqConfigError {
  return new VqConfigError({ operation, expected, received, remedy })
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}

/** The first of `names` that is a file in `folder` or in one of its `subfolders`. */
export async function findFile(
  operation: string,
  folder: string,
  names: readonly string[],
  subfolders: readonly string[],
  remedy: string,
): Promise<string> {
  if (!(await isFolder(folder)))
    throw missing(operation, `the folder ${folder}`, (await isFile(folder)) ? 'a file' : 'nothing', remedy)
  for (const sub of ['', ...subfolders])
    for (const name of names) {
      const path = join(folder, sub, name)
      if (await isFile(path)) return path
    }
  throw missing(operation, `the file ${names.join(' or ')} in ${folder}`, 'none', remedy)
}

/** A whole file of at most `maxBytes`. */
export async function readWhole(operation: string, path: string, maxBytes: number): Promise<Buffer> {
  const info = await stat(path).catch(() => undefined)
  if (!info?.isFile())
    throw missing(operation, `the file ${path}`, info ? 'no plain file' : 'nothing', 'Check the path.')
  if (info.size > maxBytes) throw tooLarge(operation, path, maxBytes, `${info.size} bytes`)
  try {
    return await readFile(path)
  } catch (cause) {
    throw new VqFormatError({
      operation: `${operation}: reading ${path}`,
      expected: 'a file that can be read',
      received: (cause as NodeJS.ErrnoException).code ?? String(cause),
      remedy: 'Check its permissions.',
      cause,
    })
  }
}

/** A whole file, unpacked where it is gzip; both sizes are bounded. */
export async function readMaybeGzip(operation: string, path: string, maxBytes: number): Promise<Uint8Array> {
  const bytes = await readWhole(operation, path, maxBytes)
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  try {
    return await unzip(bytes, { maxOutputLength: maxBytes })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(operation, path, maxBytes, 'more when unpacked')
    throw damaged(path, 'gzip', 'a whole gzip file', message)
  }
}

export function tooLarge(operation: string, path: string, most: number, received: string): VqMemoryError {
  return new VqMemoryError({
    operation,
    expected: `${path} to hold at most ${most} bytes`,
    received,
    remedy: 'Check that it is the file that is meant; split it where it is.',
  })
}
