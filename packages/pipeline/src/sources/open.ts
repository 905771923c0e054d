import { extname } from 'node:path'
import { expectConfig, expectInteger, expectOneOf, VqAbortError, VqConfigError } from '@vq/core'
import { imageFileEndings, videoFileEndings } from '@vq/models/readers'
import { type FoundFile, findFiles } from './found-files.js'
import { badItem, type Kernel, nothing, reporter, sourceOf } from './kernel.js'
import { pictures } from './picture-items.js'
import type { Modality, SkippedItem, Source, SourceOptions } from './source.js'
import { isTable, tableEndings } from './tables/table.js'
import { textKernel } from './texts.js'
import { arrayEndings, rowKernel } from './vectors/index.js'

const textEndings = new Set(['.txt', '.text', '.md'])

/**
 * Everything that `paths` lead to as numbered items: folders with what lies under them, patterns (`photos/**\/*.jpg`), files, and tables
 * (CSV, TSV, JSON Lines, Parquet) with a column of texts, lists of numbers, or paths relative to the table.
 *
 * Ids: files are called by their path relative to the folder, to the fixed part of the pattern, or to their own folder; rows of a table
 * and of an array `row-<n>` from 0, lines of a text `line-<n>` from 1, behind `<file>#` where there may be several files. The second
 * item of one id gets `~2`, and so on.
 *
 * Bad items are left out and listed; those that only reading can tell are found by `read` or `check`.
 * Throws VqConfigError for paths that lead nowhere, columns that are not there (naming those that are) and where nothing is left;
 * VqFormatError for the first bad item with `strict`; VqAbortError.
 *
 * @example
 * const source = await openSource('photos', { modality: 'image', shape: [32, 32, 3] })
 * const { values, indices, failed } = await source.read([0, 1, 2])
 */
export async function openSource(paths: string | readonly string[], options: SourceOptions): Promise<Source> {
  const all = typeof paths === 'string' ? [paths] : paths
  expectOptions(all, options)
  const { modality, signal } = options
  if (signal?.aborted) throw new VqAbortError('openSource', signal.reason)
  const report = reporter(options)
  const found = await findFiles(all, endingsOf(options), kinds[modality])
  const skipped = [...found.skipped]
  let kernel: Kernel
  try {
    kernel = await kernelOf(found.files, skipped, found.others, options)
  } catch (error) {
    if (signal?.aborted) throw new VqAbortError('openSource', signal.reason)
    throw error
  }
  const bad = skipped.filter(item => !found.others.has(item))
  if (options.strict && bad.length > 0) {
    await kernel.close()
    throw badItem(bad[0])
  }
  if (kernel.length === 0) {
    await kernel.close()
    throw nothing(modality, skipped)
  }
  for (const item of skipped) report(item)
  return sourceOf(kernel, options, report)
}

const kinds: Record<Modality, string> = {
  image: 'a JPEG, PNG or WebP file',
  text: 'a text file or table',
  video: 'a video, GIF or image',
  vector: 'a file of vectors',
}

function endingsOf({ modality }: SourceOptions): ReadonlySet<string> {
  const own: Record<Modality, Iterable<string>> = {
    image: [...imageFileEndings, '.npy'],
    text: textEndings,
    video: [...videoFileEndings, '.npy'],
    vector: arrayEndings,
  }
  return new Set([...own[modality], ...tableEndings])
}

function kernelOf(
  files: readonly FoundFile[],
  skipped: SkippedItem[],
  unwanted: Set<SkippedItem>,
  options: SourceOptions,
): Promise<Kernel> {
  const { modality, column } = options
  // A table that a folder holds beside other files is theirs, unless its column is asked for.
  const tables = files.filter(file => isTable(file.path))
  const others = files.filter(file => !isTable(file.path))
  const chosen =
    column !== undefined && tables.length > 0 && modality !== 'vector'
      ? tables
      : files.filter(file => !isTable(file.path) || file.named || others.length === 0)
  const used = new Set(chosen)
  for (const file of files) {
    if (used.has(file)) continue
    const reason = isTable(file.path) ? 'a table beside the files' : 'a file beside the tables'
    const item = { id: file.id, reason }
    skipped.push(item)
    unwanted.add(item)
  }
  if (modality === 'text') return textKernel(chosen, skipped, options)
  if (modality === 'vector') return rowKernel(chosen, skipped, options)
  const arrays = chosen.filter(file => arrayEndings.has(extname(file.path).toLowerCase()))
  if (arrays.length > 0 && arrays.length === chosen.length) return rowKernel(chosen, skipped, options)
  for (const { id } of arrays) skipped.push({ id, reason: 'an array among files of pictures' })
  const rest = chosen.filter(file => !arrays.includes(file))
  return pictures(rest, skipped, options, modality)
}

function expectOptions(paths: readonly string[], options: SourceOptions): void {
  const operation = 'openSource'
  expectConfig(
    Array.isArray(paths) && paths.length > 0 && paths.every(path => typeof path === 'string' && path !== ''),
    operation,
    'a path or several',
    paths,
    'Pass paths of files or folders, or patterns.',
  )
  const { modality, shape, decodesAtOnce, memoryBytes, cacheBytes, maxPixels, frameStride } = options
  expectOneOf(operation, 'modality', modality, ['image', 'text', 'video', 'vector'])
  const axes = { image: 3, video: 4, vector: 1, text: undefined }[modality]
  if (axes !== undefined && (shape !== undefined || modality !== 'vector')) {
    const names = { 1: '[D]', 3: '[H, W, C]', 4: '[T, H, W, C]' }[axes]
    expectConfig(
      Array.isArray(shape) &&
        shape.length === axes &&
        shape.every(size => Number.isInteger(size) && size > 0),
      operation,
      `the shape of a ${modality} ${names}`,
      Array.isArray(shape) ? `[${shape}]` : shape,
      'Pass shape: whole numbers of at least 1.',
    )
    if (axes > 1) {
      const [height, width, channels] = shape.slice(-3)
      expectInteger(operation, 'height', height, 1, 4096)
      expectInteger(operation, 'width', width, 1, 4096)
      if (channels !== 3 && channels !== 1)
        throw new VqConfigError({
          operation,
          expected: '3 channels, or 1 for grey',
          received: `${channels}`,
          remedy: 'Channels come last: [H, W, C].',
        })
      const bytes = shape.reduce((a, b) => a * b, 1)
      expectConfig(bytes <= 2 ** 30, operation, 'items of at most 1 GiB', bytes, 'Take a smaller shape.')
    }
  }
  if (decodesAtOnce !== undefined) expectInteger(operation, 'decodesAtOnce', decodesAtOnce, 1, 1024)
  if (memoryBytes !== undefined) expectInteger(operation, 'memoryBytes', memoryBytes, 0)
  if (cacheBytes !== undefined) expectInteger(operation, 'cacheBytes', cacheBytes, 0)
  if (maxPixels !== undefined) expectInteger(operation, 'maxPixels', maxPixels, 1)
  if (frameStride !== undefined) expectInteger(operation, 'frameStride', frameStride, 1, 4096)
}
