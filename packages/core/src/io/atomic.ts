import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { VqConfigError, VqError, VqFormatError } from '../errors.js'
import { expectPath } from './file-bytes.js'

type Content = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

const hidden = (path: string, ending: string): string => join(dirname(path), `.${basename(path)}.${ending}`)
// By chance, not by process: in a container every one is number 1, and a crash may have left its file.
const temporary = (path: string): string => hidden(path, `${randomBytes(8).toString('hex')}.tmp`)

/**
 * Writes a file so that a crash at any moment leaves the old one or the new one: to a temporary name in the same
 * folder, synced, renamed, and the folder synced. Makes missing folders.
 * Throws VqFormatError where the file cannot be written, as on a full disk: the old one stays.
 */
export function writeFileAtomic(path: string, content: Content): Promise<void> {
  return typed('writeFileAtomic', path, () => writeFile(path, content))
}

async function writeFile(path: string, content: Content): Promise<void> {
  const target = resolve(path)
  await mkdir(dirname(target), { recursive: true })
  const temp = temporary(target)
  try {
    const file = await open(temp, 'wx')
    try {
      const whole = typeof content === 'string' || content instanceof Uint8Array
      for await (const part of whole ? [content] : content) await file.writeFile(part)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temp, target)
  } catch (error) {
    await rm(temp, { force: true })
    throw error
  }
  await syncFolder(dirname(target))
}

/**
 * Writes a folder as a whole: `write` fills an empty temporary folder, all of it is synced, and it takes the place of
 * `path` with everything in it. No file system call swaps two folders, so an old one is moved aside first: after a crash in between,
 * `recoverFolder` brings it back, which readers of such folders call before they read.
 * Throws VqFormatError where it cannot be written, VqConfigError where the path is a file, and what `write` throws.
 */
export function writeFolderAtomic(path: string, write: (folder: string) => Promise<void>): Promise<void> {
  return typed('writeFolderAtomic', path, () => writeFolder(path, write))
}

async function writeFolder(path: string, write: (folder: string) => Promise<void>): Promise<void> {
  const target = resolve(path)
  await mkdir(dirname(target), { recursive: true })
  await recoverFolder(target)
  const there = await stat(target).catch(() => undefined)
  if (there !== undefined && !there.isDirectory())
    throw new VqConfigError({
      operation: 'writeFolderAtomic',
      expected: `${path} to be a folder or absent`,
      received: 'a file',
      remedy: 'Pick another name, or move the file away.',
    })
  const temp = temporary(target)
  try {
    await mkdir(temp)
    await write(temp)
    await syncTree(temp)
    const old = hidden(target, 'old')
    if (await moved(target, old)) await syncFolder(dirname(target))
    await rename(temp, target)
    await syncFolder(dirname(target))
    await rm(old, { recursive: true, force: true })
  } catch (error) {
    await rm(temp, { recursive: true, force: true })
    await recoverFolder(target)
    throw error
  }
}

// The file system's own errors become one that says what could not be written.
async function typed(operation: string, path: string, write: () => Promise<void>): Promise<void> {
  expectPath(operation, path)
  try {
    await write()
  } catch (cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException
    if (cause instanceof VqError || code === undefined || syscall === undefined) throw cause
    throw new VqFormatError({
      operation: `writing ${path}`,
      expected: 'a place that can be written to',
      received: code,
      remedy:
        code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
          ? 'Free space on the disk, or pick another; what was there before is unchanged.'
          : 'Check the path and its permissions; what was there before is unchanged.',
      cause,
    })
  }
}

/** Ends what a crash during `writeFolderAtomic` left: the old folder comes back unless the new one is there. */
export async function recoverFolder(path: string): Promise<void> {
  const target = resolve(path)
  const old = hidden(target, 'old')
  if (!(await moved(old, target))) await rm(old, { recursive: true, force: true })
}

// Renames unless `from` is absent or `to` is a folder with something in it; says whether it did.
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTEMPTY' || code === 'EEXIST') return false
    throw error
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) await syncFile(path)
  }
  await syncFolder(folder)
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; its rename is durable without.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
