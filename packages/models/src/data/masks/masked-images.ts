// Images with a class for every pixel, the shared part of all such data sets.
import { join } from 'node:path'
import { expectInteger, expectOneOf, VqAbortError, VqConfigError, VqFormatError } from '@vq/core'
import { loadSharp, type SharpFactory } from '../../image/sharp.js'
import { type Dataset, type Extras, expectIndices } from '../dataset.js'
import { decodeImage } from '../decode.js'
import { mapBounded } from '../files/bounded.js'
import { ByteCache } from '../files/byte-cache.js'
import { Gate } from '../files/gate.js'
import { copyScaled } from '../images/scale.js'
import type { Skipped } from '../scan.js'
import { decodeMask, maskReason } from './decode-mask.js'

/** The class that no loss counts. */
export const ignoredClass = -1

/** An image and its mask, by paths relative to the folder. */
export interface MaskedItem {
  id: string
  image: string
  mask: string
  /** Name of what the image as a whole shows. */
  label?: string
}

export interface MaskedImagesOptions {
  /** Edge of the square images and masks in pixels. Default 224. */
  size?: number
  /** Larger images are refused before they are decoded. Default 100 million. */
  maxPixels?: number
  /** Bound of the cache of decoded images and masks. Default 1 GiB. */
  cacheBytes?: number
  /** How many files are handed to the decoder at once, off the main thread; more wait their turn. Default 32. */
  decodesAtOnce?: number
  /**
   * 'throw': a file that cannot be used fails the batch that wants it. 'skip': all are decoded when the data set is opened, and
   * those that cannot be used are listed in `skipped`. Default 'throw'.
   */
  damaged?: 'throw' | 'skip'
  signal?: AbortSignal
}

/**
 * Images [size, size, 3], values 0..1, with the extra `mask` [N, size, size] int32 of class numbers, −1 where a pixel does not
 * count, and with `label` [N] int32 where the items are labelled.
 */
export interface MaskedImages extends Dataset {
  readonly ids: readonly string[]
  /** Names of the pixels' classes, by number. */
  readonly maskClasses: readonly string[]
  /** Names of what the images show, by the number in `label`. */
  readonly classes: readonly string[]
  readonly skipped: readonly Skipped[]
  extras(indices: Int32Array): Promise<Extras>
}

/** What masks mean: names of the classes, and the class of each value of a mask file. */
export interface MaskMeaning {
  maskClasses: readonly string[]
  /** A class, or −1 for a pixel that does not count; other values are errors. */
  classOf: ReadonlyMap<number, number>
}

/**
 * Items with images and masks under `folder` as a data set: both scaled to cover the square and cropped in the centre, images by
 * Lanczos, masks by the nearest pixel; as in torchvision an EXIF orientation is not applied. For a loader of one's own.
 * Throws VqConfigError without an item; batches throw VqFormatError, which names the file, where one cannot be used, an image
 * and its mask differ in size, or a mask holds a value without a meaning.
 */
export async function maskedImages(
  folder: string,
  items: readonly MaskedItem[],
  meaning: MaskMeaning,
  options: MaskedImagesOptions = {},
): Promise<MaskedImages> {
  const {
    size = 224,
    maxPixels = 100e6,
    cacheBytes = 2 ** 30,
    decodesAtOnce = 32,
    damaged = 'throw',
  } = options
  expectInteger('maskedImages', 'size', size, 1, 4096)
  expectInteger('maskedImages', 'maxPixels', maxPixels, 1)
  expectInteger('maskedImages', 'cacheBytes', cacheBytes, 0)
  expectInteger('maskedImages', 'decodesAtOnce', decodesAtOnce, 1, 1024)
  expectOneOf('maskedImages', 'damaged', damaged, ['throw', 'skip'])
  const source: Source = {
    sharp: await loadSharp(),
    folder,
    meaning,
    size,
    maxPixels,
    decodesAtOnce,
    gate: new Gate(decodesAtOnce),
    images: new ByteCache(Math.floor((cacheBytes * 3) / 4)),
    masks: new ByteCache(Math.ceil(cacheBytes / 4)),
  }
  const skipped: Skipped[] = []
  let kept = items
  if (damaged === 'skip') {
    const reasons = await mapBounded(items, decodesAtOnce, async item => {
      if (options.signal?.aborted) throw new VqAbortError('maskedImages', options.signal.reason)
      try {
        await decodePair(source, item)
        return undefined
      } catch (error) {
        return error instanceof VqFormatError
          ? `${error.received} instead of ${error.expected}`
          : maskReason(error)
      }
    })
    kept = items.filter((_, i) => reasons[i] === undefined)
    for (const [i, reason] of reasons.entries())
      if (reason !== undefined) skipped.push({ file: items[i].image, reason })
  }
  if (kept.length === 0)
    throw new VqConfigError({
      operation: 'maskedImages',
      expected: `images with masks in ${folder}`,
      received:
        skipped.length === 0 ? 'none' : `${skipped.length} of which none can be used: ${skipped[0].reason}`,
      remedy: 'Check the folder and how it is laid out.',
    })
  return dataset(source, kept, skipped)
}

interface Source {
  sharp: SharpFactory
  folder: string
  meaning: MaskMeaning
  size: number
  maxPixels: number
  decodesAtOnce: number
  /** Shared by all batches, since a loader fetches several at once. */
  gate: Gate
  images: ByteCache
  masks: ByteCache
}

function dataset(source: Source, items: readonly MaskedItem[], skipped: readonly Skipped[]): MaskedImages {
  const { size, images, masks, meaning } = source
  const names = items.map(item => item.label ?? '')
  const labelled = items.every(item => item.label !== undefined)
  const classes = labelled ? [...new Set(names)].sort((a, b) => (a < b ? -1 : 1)) : []
  const numbers = new Map(classes.map((name, number) => [name, number]))
  const pixels = size * size

  // Each file once, even if a batch names it twice.
  const load = async (
    cache: ByteCache,
    indices: Int32Array,
    decode: (item: MaskedItem) => Promise<Uint8Array>,
    use: (n: number, bytes: Uint8Array) => void,
  ): Promise<void> => {
    const places = new Map<number, number[]>()
    for (const [n, i] of indices.entries()) places.set(i, [...(places.get(i) ?? []), n])
    await mapBounded([...places.keys()], source.decodesAtOnce, async i => {
      const bytes = cache.get(i) ?? (await source.gate.run(() => decode(items[i])))
      cache.add(i, bytes)
      for (const n of places.get(i) as number[]) use(n, bytes)
    })
  }

  return {
    length: items.length,
    shape: [size, size, 3],
    ids: items.map(item => item.id),
    ...(labelled && { labels: names }),
    maskClasses: meaning.maskClasses,
    classes,
    skipped,
    batch: async indices => {
      expectIndices('maskedImages.batch', items, indices)
      const out = new Float32Array(indices.length * pixels * 3)
      await load(
        images,
        indices,
        item => decodeOne(source, item),
        (n, bytes) => copyScaled(bytes, 0, out, n * pixels * 3, pixels * 3),
      )
      return out
    },
    extras: async indices => {
      expectIndices('maskedImages.extras', items, indices)
      const out = new Int32Array(indices.length * pixels)
      await load(
        masks,
        indices,
        item => decodeMask(source.sharp, source.folder, item, source),
        (n, bytes) => out.set(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), n * pixels),
      )
      return {
        mask: { values: out, shape: [indices.length, size, size] },
        ...(labelled && {
          label: {
            values: indices.map(i => numbers.get(names[i]) as number),
            shape: [indices.length],
          },
        }),
      }
    },
  }
}

async function decodeOne(source: Source, item: MaskedItem): Promise<Uint8Array> {
  try {
    // Oxford-IIIT Pet has GIFs that are named .jpg.
    const how = { ...source, autoOrient: false, gif: true }
    return await decodeImage(source.sharp, join(source.folder, item.image), how)
  } catch (cause) {
    throw new VqFormatError({
      operation: 'maskedImages',
      expected: `an image that can be used in ${item.image}`,
      received: maskReason(cause),
      remedy: "Repair or remove it, or pass damaged: 'skip'.",
      cause,
    })
  }
}

async function decodePair(source: Source, item: MaskedItem): Promise<void> {
  await decodeOne(source, item)
  await decodeMask(source.sharp, source.folder, item, source)
}
