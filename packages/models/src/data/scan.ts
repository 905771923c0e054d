import { type Dirent, existsSync } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'

/** A file that was left out, by its path relative to the folder, and why. */
export interface Skipped {
  file: string
  reason: string
}

export interface FolderScan {
  /** Relative paths with forward slashes, sorted by code point. */
  files: string[]
  skipped: Skipped[]
}

/** Of the images that can be read. */
export const imageFileEndings: ReadonlySet<string> = new Set(['.jpg', '.jpeg', '.png', '.webp'])

/** Every JPEG, PNG and WebP file under a folder, by its name, as `scanFiles` finds them. */
export function scanImages(folder: string): Promise<FolderScan> {
  return scanFiles(folder, imageFileEndings, 'a JPEG, PNG or WebP file')
}

/**
 * Every file under a folder whose name ends in one of `wanted` in lower case, or every file without it; `kind` is what they are in
 * words. Links are followed once per real folder, so that loops end.
 * Hidden files are passed over silently, everything else that is not taken is in `skipped`.
 */
export async function scanFiles(
  folder: string,
  wanted: ReadonlySet<string> | undefined,
  kind: string,
): Promise<FolderScan> {
  const files: string[] = []
  const skipped: Skipped[] = []
  const visited = new Set<string>()

  async function walk(relative: string): Promise<void> {
    const absolute = join(folder, relative)
    let entries: Dirent[]
    try {
      const real = await realpath(absolute)
      if (visited.has(real)) {
        skipped.push({ file: `${relative}/`, reason: 'a link to a folder that was already read' })
        return
      }
      visited.add(real)
      entries = await readdir(absolute, { withFileTypes: true })
    } catch (error) {
      skipped.push({
        file: `${relative}/`,
        reason: `cannot be listed (${(error as NodeJS.ErrnoException).code})`,
      })
      return
    }
    // Sorted here and walked in this order: a link never hides the folder it points to by chance.
    entries.sort((a, b) => Number(a.isSymbolicLink()) - Number(b.isSymbolicLink()) || compare(a.name, b.name))
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`
      const found = entry.isSymbolicLink() ? await target(join(folder, path)) : entry
      if (found === undefined) skipped.push({ file: path, reason: 'a broken link' })
      else if (found.isDirectory()) await walk(path)
      else if (!found.isFile()) skipped.push({ file: path, reason: 'not a regular file' })
      else if (wanted === undefined || wanted.has(extname(entry.name).toLowerCase())) files.push(path)
      else skipped.push({ file: path, reason: `not named as ${kind}` })
    }
  }

  if (existsSync(folder)) await walk('')
  files.sort(compare)
  skipped.sort((a, b) => compare(a.file, b.file))
  return { files, skipped }
}

async function target(path: string): Promise<{ isDirectory(): boolean; isFile(): boolean } | undefined> {
  try {
    return await stat(path)
  } catch {
    return undefined
  }
}

// Independent of the locale, unlike localeCompare.
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
