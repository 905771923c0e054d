import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expectInteger, expectOneOf, VqAbortError, VqConfigError, VqFormatError } from '@vq/core'
import { loadSharp, type SharpFactory } from '../image/sharp.js'
import { type Captions, captionsOf } from './captions.js'
import { type Dataset, expectIndices } from './dataset.js'
import { decodeImage, decodeReason } from './decode.js'
import { mapBounded } from './files/bounded.js'
import { Gate } from './files/gate.js'
import { labelExtra } from './images/byte-images.js'
import { copyScaled } from './images/scale.js'
import { type Skipped, scanImages } from './scan.js'

export interface ImageFolderOptions {
  /** Edge of the square images in pixels. Default 32. */
  size?: number
  /** Images with more pixels are skipped before they are decoded. Default 100 million. */
  maxPixels?: number
  /** Bound of the decoded cache; what does not fit is decoded again at every use. Default 1 GiB. */
  cacheBytes?: number
  /**
   * How many images are handed to the decoder at once, off the main thread; more wait their turn. It decodes as many at a time as
   * libuv has threads, 4 unless UV_THREADPOOL_SIZE says otherwise. Default 256.
   */
  decodesAtOnce?: number
  /** What becomes of files that cannot be used: they are listed in `skipped`, or the first one throws. Default 'skip'. */
  damaged?: 'skip' | 'throw'
  /**
   * A caption for each image: 'txt' from the text file of the same name beside it, or the path of a CSV file with the columns
   * `file` and `caption`. Images without one are skipped as damaged ones are.
   */
  captions?: Captions
  /** Called while files are read. */
  onProgress?: (done: number, total: number) => void
  signal?: AbortSignal
}

/** A folder of images as a data set. Made by `imageFolder`. */
export interface ImageFolder extends Dataset {
  readonly folder: string
  /** Relative paths with forward slashes, in the order of the items. */
  readonly ids: readonly string[]
  /** The folder each image lies in, relative; '' at the top. */
  readonly labels: readonly string[]
  /** The folders, sorted by code point. With two or more of them the extra `label` [N] int32 holds each image's. */
  readonly classes: readonly string[]
  /** Files that were left out, and why. */
  readonly skipped: readonly Skipped[]
}

/**
 * Reads every JPEG, PNG and WebP file under `folder`, nested folders included, as `[size, size, 3]` images with values
 * 0..1. Each is turned upright by its EXIF orientation, laid on white where transparent, converted to sRGB, scaled to
 * cover the square and cropped in the centre. The order is that of the relative paths by code point; files that
 * cannot be used are listed in `skipped`.
 *
 * @throws VqConfigError when the folder is missing or holds no usable image, VqFormatError for a file that cannot be used
 * with `damaged: 'throw'`.
 */
export async function imageFolder(folder: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
  const {
    size = 32,
    maxPixels = 100e6,
    cacheBytes = 2 ** 30,
    decodesAtOnce = 256,
    damaged = 'skip',
  } = options
  const { captions, onProgress, signal } = options
  expectInteger('imageFolder', 'size', size, 1, 4096)
  expectInteger('imageFolder', 'maxPixels', maxPixels, 1)
  expectInteger('imageFolder', 'cacheBytes', cacheBytes, 0)
  expectInteger('imageFolder', 'decodesAtOnce', decodesAtOnce, 1, 1024)
  expectOneOf('imageFolder', 'damaged', damaged, ['skip', 'throw'])
  const root = resolve(folder)
  const info = await stat(root).catch(() => undefined)
  if (!info?.isDirectory())
    throw unusable(root, info ? 'a file' : 'nothing there', 'Pass an existing folder.')

  const { files, skipped } = await scanImages(root)
  const captionOf = await captionsOf(root, captions)
  const sharp = await loadSharp()
  const bytes = size * size * 3
  const cache = new Uint8Array(Math.min(files.length, Math.floor(cacheBytes / bytes)) * bytes)
  const refused: (string | undefined)[] = []
  const said: string[] = []
  let done = 0
  await mapBounded(files, decodesAtOnce, async (file, at) => {
    if (signal?.aborted) throw new VqAbortError('imageFolder', signal.reason)
    const image = await decodeImage(sharp, join(root, file), { size, maxPixels }).catch(decodeReason)
    const caption = await captionOf?.(file)
    if (typeof image === 'string') refused[at] = image
    else if (captionOf !== undefined && caption === undefined) refused[at] = 'no caption'
    else if ((at + 1) * bytes <= cache.length) cache.set(image, at * bytes)
    said[at] = caption ?? ''
    if (damaged === 'throw' && refused[at] !== undefined)
      throw new VqFormatError({
        operation: 'imageFolder',
        expected: `${file} to be an image that can be used`,
        received: refused[at],
        remedy: "Repair or remove it, or pass damaged: 'skip'.",
      })
    onProgress?.(++done, files.length)
  })

  const kept: number[] = []
  for (let i = 0; i < files.length; i++) {
    const reason = refused[i]
    if (reason !== undefined) skipped.push({ file: files[i]!, reason })
    else kept.push(i)
  }
  if (kept.length === 0)
    throw unusable(
      root,
      skipped.length === 0
        ? 'an empty folder'
        : `${skipped.length} files of which none is usable${examples(skipped)}`,
      'Nested folders are searched too; check the path.',
    )
  const ids = kept.map(i => files[i]!)
  const labels = ids.map(id => id.slice(0, Math.max(0, id.lastIndexOf('/'))))
  const classes = [...new Set(labels)].sort((a, b) => (a < b ? -1 : 1))
  const numbers = new Map(classes.map((name, number) => [name, number]))
  const labelIds = Int32Array.from(labels, label => numbers.get(label) as number)
  const source: Source = {
    sharp,
    root,
    size,
    maxPixels,
    bytes,
    cache,
    kept,
    ids,
    decodesAtOnce,
    gate: new Gate(decodesAtOnce),
  }
  return {
    folder: root,
    length: ids.length,
    shape: [size, size, 3],
    ids,
    labels,
    classes,
    skipped,
    ...(captionOf && { captions: kept.map(i => said[i]) }),
    batch: indices => readBatch(source, indices),
    ...(classes.length > 1 && {
      extras: (indices: Int32Array) => {
        expectIndices('imageFolder.extras', labelIds, indices)
        return labelExtra(labelIds, indices)
      },
    }),
  }
}

interface Source {
  sharp: SharpFactory
  root: string
  size: number
  maxPixels: number
  bytes: number
  /** The first files' pixels, by position in the scan. */
  cache: Uint8Array
  kept: number[]
  ids: string[]
  decodesAtOnce: number
  /** Shared by all batches, since a loader fetches several at once. */
  gate: Gate
}

function readBatch(source: Source, indices: Int32Array): Float32Array | Promise<Float32Array> {
  const { kept, bytes, cache } = source
  expectIndices('imageFolder.batch', kept, indices)
  const out = new Float32Array(indices.length * bytes)
  const missing: number[] = []
  for (let n = 0; n < indices.length; n++) {
    const position = kept[indices[n]!]!
    if ((position + 1) * bytes <= cache.length) copyScaled(cache, position * bytes, out, n * bytes, bytes)
    else missing.push(n)
  }
  return missing.length === 0 ? out : decodeMissing(source, indices, missing, out)
}

async function decodeMissing(
  source: Source,
  indices: Int32Array,
  missing: number[],
  out: Float32Array,
): Promise<Float32Array> {
  await mapBounded(missing, source.decodesAtOnce, async n => {
    const id = source.ids[indices[n]!]!
    try {
      const image = await source.gate.run(() => decodeImage(source.sharp, join(source.root, id), source))
      copyScaled(image, 0, out, n * source.bytes, source.bytes)
    } catch (error) {
      throw new VqFormatError({
        operation: 'imageFolder.batch',
        expected: `${id} to be as it was when the folder was opened`,
        received: decodeReason(error),
        remedy: 'Put the file back, or open the folder again.',
        cause: error,
      })
    }
  })
  return out
}

function unusable(folder: string, received: string, remedy: string): VqConfigError {
  return new VqConfigError({
    operation: 'imageFolder',
    expected: `JPEG, PNG or WebP files (.jpg, .jpeg, .png, .webp) in ${folder}`,
    received,
    remedy,
  })
}

function examples(skipped: Skipped[]): string {
  const few = skipped.slice(0, 3).map(s => `${s.file}: ${s.reason}`)
  return ` (${few.join('; ')}${skipped.length > 3 ? '; …' : ''})`
}
