import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, extname, resolve } from 'node:path'
import { VqConfigError } from '@vq/core'
import { scanFiles } from '@vq/models/readers'
import picomatch from 'picomatch'
import type { SkippedItem } from './source.js'

/** A file that a path, a folder or a pattern leads to. */
export interface FoundFile {
  path: string
  /** Relative to the folder, to the part of the pattern without signs, or to the file's own folder; with forward slashes. */
  id: string
  /** The folder that the id is relative to. */
  root: string
  /** Whether the user named it rather than a folder or pattern around it. */
  named: boolean
}

export interface FoundFiles {
  files: FoundFile[]
  /** What can be no item: broken links, folders that cannot be listed, other endings. */
  skipped: SkippedItem[]
  /** Those of them that are no bad items, only something else. */
  others: Set<SkippedItem>
}

/**
 * The files that `paths` lead to: folders with everything under them, patterns such as `photos/**\/*.jpg`, and files. `wanted` are
 * endings in small letters, `kind` what they are in words. A file that is reached twice counts once.
 * Throws VqConfigError for a path that leads nowhere.
 */
export async function findFiles(
  paths: readonly string[],
  wanted: ReadonlySet<string>,
  kind: string,
): Promise<FoundFiles> {
  const files: FoundFile[] = []
  const skipped: SkippedItem[] = []
  const others = new Set<SkippedItem>()
  const real = new Set<string>()
  const skip = (id: string, reason: string, other: boolean): void => {
    const item = { id, reason }
    skipped.push(item)
    if (other) others.add(item)
  }
  const add = async (file: FoundFile): Promise<void> => {
    if (!wanted.has(extname(file.path).toLowerCase())) return skip(file.id, `not named as ${kind}`, true)
    if (paths.length > 1) {
      const place = await realpath(file.path).catch(() => file.path)
      if (real.has(place)) return skip(file.id, 'the same file as one before', true)
      real.add(place)
    }
    files.push(file)
  }
  const search = async (root: string, matches: (file: string) => boolean): Promise<number> => {
    const found = await scanFiles(root, undefined, kind)
    for (const { file, reason } of found.skipped)
      if (matches(file) || file.endsWith('/')) skip(file, reason, reason.startsWith('a link to a folder'))
    const hits = found.files.filter(matches)
    for (const file of hits) await add({ path: `${root}/${file}`, id: file, root, named: false })
    return hits.length
  }
  for (const path of paths) {
    const info = await stat(path).catch(() => undefined)
    if (info?.isDirectory()) await search(resolve(path), () => true)
    else if (info?.isFile()) {
      const full = resolve(path)
      await add({ path: full, id: basename(full), root: dirname(full), named: true })
    } else if (info !== undefined) skip(basename(path), 'not a regular file', false)
    else {
      const { base, glob, isGlob } = picomatch.scan(
        path.replaceAll('\\', process.platform === 'win32' ? '/' : '\\'),
      )
      if (!isGlob) throw nowhere(path, 'nothing there')
      const root = resolve(base === '' ? '.' : base)
      const fits = picomatch(glob)
      const hits = await search(root, file => fits(file))
      if (hits === 0) throw nowhere(path, 'no file that fits it')
    }
  }
  return { files, skipped, others }
}

function nowhere(path: string, received: string): VqConfigError {
  return new VqConfigError({
    operation: 'openSource',
    expected: `a file, a folder or a pattern of files at ${path}`,
    received,
    remedy: 'Check the path; put patterns into quotes, so that the shell leaves them alone.',
  })
}
