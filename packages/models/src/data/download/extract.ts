import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expectInteger, VqConfigError, VqError, VqFormatError } from '@vq/core'
import { isFile, missing } from '../files/places.js'

export interface ExtractOptions {
  /** Bound of all files together. Default 8 GiB. */
  maxBytes?: number
  /** Bound of the number of files and folders. Default 1,000,000. */
  maxEntries?: number
}

const kinds = new Set(['File', 'OldFile', 'ContiguousFile', 'Directory'])

/**
 * Unpacks a .tar or .tar.gz archive into `folder`. Nothing leaves the folder: an archive with a link, a device, an absolute
 * path or one with `..` is refused as a whole, as one over the bounds is, and nothing of it stays. Gives the names at the
 * archive's top. Throws VqFormatError for such archives and damaged ones, VqConfigError where a name is already there.
 */
export async function extractTar(
  archive: string,
  folder: string,
  options: ExtractOptions = {},
): Promise<string[]> {
  const { maxBytes = 2 ** 33, maxEntries = 1e6 } = options
  expectInteger('extractTar', 'maxBytes', maxBytes, 0)
  expectInteger('extractTar', 'maxEntries', maxEntries, 1)
  if (!(await isFile(archive)))
    throw missing('extractTar', `the archive ${archive}`, 'none', 'Check the path.')
  const target = resolve(folder)
  await mkdir(target, { recursive: true })
  const temporary = await mkdtemp(join(target, '.unpacking-'))
  const refuse = (received: string, cause?: unknown): VqFormatError =>
    new VqFormatError({
      operation: `unpacking ${archive}`,
      expected: `files and folders within it, at most ${maxBytes} bytes in ${maxEntries} entries`,
      received,
      remedy: 'Fetch the archive again from where it is published.',
      cause,
    })
  try {
    await inspect(archive, maxBytes, maxEntries).catch(error => {
      throw error instanceof Unsafe
        ? refuse(error.message)
        : refuse(`a damaged archive: ${(error as Error).message}`, error)
    })
    const { extract } = await import('tar')
    await extract({
      file: archive,
      cwd: temporary,
      strict: true,
      // Modes and owners of whoever packed it are of no use here, and may lock the reader out.
      preserveOwner: false,
      noChmod: true,
      noMtime: true,
    })
    const names = (await readdir(temporary)).sort()
    if (names.length === 0) throw refuse('an empty archive')
    for (const name of names)
      if (await lstat(join(target, name)).catch(() => undefined))
        throw new VqConfigError({
          operation: `unpacking ${archive}`,
          expected: `no ${name} in ${target}`,
          received: 'one that is already there',
          remedy: 'Move it away, or unpack elsewhere.',
        })
    for (const name of names) await rename(join(temporary, name), join(target, name))
    return names
  } catch (error) {
    if (error instanceof VqError) throw error
    throw refuse((error as Error).message, error)
  } finally {
    // After a failure a file that was begun may still be written for a moment.
    await rm(temporary, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
}

class Unsafe extends Error {}

// Goes over the whole archive before anything of it is written.
async function inspect(archive: string, maxBytes: number, maxEntries: number): Promise<void> {
  const { Parser } = await import('tar')
  let bytes = 0
  let entries = 0
  let failure: Error | undefined
  const look = ({ path, type, size }: { path: string; type: string; size: number }): string | undefined => {
    bytes += size
    entries++
    if (!kinds.has(type)) return `${type} ${path}`
    if (leaves(path)) return `the path ${path}`
    if (bytes > maxBytes) return `more than ${maxBytes} bytes`
    return entries > maxEntries ? `more than ${maxEntries} entries` : undefined
  }
  const parser = new Parser({
    strict: true,
    onReadEntry: entry => {
      const problem = look(entry)
      if (problem !== undefined) failure ??= new Unsafe(problem)
      entry.resume()
    },
  })
  // Ends with the archive or with the first error, whichever comes.
  const ended = new Promise<void>(resolve => {
    parser.on('end', resolve)
    parser.on('error', error => {
      failure ??= error as Error
      resolve()
    })
  })
  for await (const piece of createReadStream(archive)) {
    if (failure !== undefined) throw failure
    if (!parser.write(piece as Buffer) && failure === undefined)
      await Promise.race([once(parser, 'drain'), ended])
  }
  parser.end()
  await ended
  if (failure !== undefined) throw failure
  if (entries === 0) throw new Unsafe('an empty archive')
}

function leaves(path: string): boolean {
  return /^[\\/]|^[a-z]:/i.test(path) || path.split(/[\\/]/).includes('..') || path.includes('\0')
}
