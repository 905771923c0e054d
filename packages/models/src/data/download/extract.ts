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
    const { extract } = await import('tar')
    let bytes = 0
    let entries = 0
    let problem: string | undefined
    const accept = (path: string, { type, size }: { type?: string; size?: number }): boolean => {
      if (problem !== undefined) return false
      bytes += size ?? 0
      entries++
      if (!kinds.has(type ?? '')) problem = `${type} ${path}`
      else if (leaves(path)) problem = `the path ${path}`
      else if (bytes > maxBytes) problem = `more than ${maxBytes} bytes`
      else if (entries > maxEntries) problem = `more than ${maxEntries} entries`
      return problem === undefined
    }
    try {
      await extract({
        file: archive,
        cwd: temporary,
        strict: true,
        // Modes and owners of whoever packed it are of no use here, and may lock the reader out.
        preserveOwner: false,
        noChmod: true,
        noMtime: true,
        filter: (path, entry) => accept(path, entry as { type?: string; size?: number }),
      })
    } catch (error) {
      throw refuse(problem ?? `a damaged archive: ${(error as Error).message}`, error)
    }
    if (problem !== undefined) throw refuse(problem)
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
    await rm(temporary, { recursive: true, force: true })
  }
}

function leaves(path: string): boolean {
  return /^[\\/]|^[a-z]:/i.test(path) || path.split(/[\\/]/).includes('..') || path.includes('\0')
}
