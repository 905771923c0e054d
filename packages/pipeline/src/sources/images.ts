import { VqAbortError } from '@vq/core'
import {
  ByteCache,
  copyScaled,
  decodeImage,
  decodeReason,
  Gate,
  loadSharp,
  mapBounded,
} from '@vq/models/readers'
import type { Kernel } from './kernel.js'
import type { FailedItem, ReadResult, SkippedItem, SourceOptions } from './source.js'

/** Things that are decoded one by one into bytes of one size: images and videos. */
export interface Pictures {
  modality: 'image' | 'video'
  shape: readonly number[]
  ids: readonly string[]
  labels?: readonly string[] | undefined
  captions?: readonly string[] | undefined
  skipped: readonly SkippedItem[]
  decodesAtOnce: number
  cacheBytes: number
  /** RGB bytes of an item; what it throws is the reason. */
  decode(index: number, signal: AbortSignal | undefined): Promise<Uint8Array>
  reason(error: unknown): string
}

export function pictureKernel(pictures: Pictures): Kernel {
  const { modality, shape, ids, decodesAtOnce, cacheBytes } = pictures
  const size = shape.reduce((a, b) => a * b, 1)
  const grey = shape.at(-1) === 1
  const gate = new Gate(decodesAtOnce)
  let cache: ByteCache | undefined

  const bytesOf = async (index: number, signal: AbortSignal | undefined): Promise<Uint8Array> => {
    const kept = cache?.get(index)
    if (kept !== undefined) return kept
    const rgb = await gate.run(() => {
      if (signal?.aborted) throw new VqAbortError('Source.read', signal.reason)
      return pictures.decode(index, signal)
    })
    const bytes = grey ? luma(rgb) : rgb
    cache?.add(index, bytes)
    return bytes
  }

  return {
    modality,
    length: ids.length,
    shape,
    id: index => ids[index],
    labels: pictures.labels,
    captions: pictures.captions,
    skipped: pictures.skipped,
    checkedAtOnce: Math.max(1, Math.min(1024, Math.floor(2 ** 26 / (4 * size)))),
    keep: () => {
      cache ??= new ByteCache(cacheBytes)
    },
    read: async (indices, signal): Promise<ReadResult> => {
      const values = new Float32Array(indices.length * size)
      const failed: FailedItem[] = []
      const good = new Uint8Array(indices.length).fill(1)
      await mapBounded(indices, decodesAtOnce, async (index, n) => {
        try {
          copyScaled(await bytesOf(index, signal), 0, values, n * size, size)
        } catch (error) {
          if (!isAboutItem(error)) throw error
          good[n] = 0
          failed[n] = { index, id: ids[index], reason: pictures.reason(error) }
        }
      })
      return compact(indices, values, size, good, failed)
    },
    close: async () => {
      cache = undefined
    },
  }
}

// Neither an abort nor a missing program says anything of the item.
function isAboutItem(error: unknown): boolean {
  return !['AbortError', 'VqDeviceError', 'VqConfigError', 'VqMemoryError'].includes((error as Error).name)
}

/** The result without the items that failed; what is left moves up. */
export function compact(
  indices: Int32Array,
  values: Float32Array,
  size: number,
  good: Uint8Array,
  failed: readonly FailedItem[],
): ReadResult<Float32Array> {
  const bad = failed.filter(item => item !== undefined)
  if (bad.length === 0) return { values, indices: indices.slice(), failed: [] }
  let to = 0
  for (let n = 0; n < indices.length; n++) {
    if (good[n] === 0) continue
    if (to < n) values.copyWithin(to * size, n * size, (n + 1) * size)
    to++
  }
  return { values: values.slice(0, to * size), indices: indices.filter((_, n) => good[n] === 1), failed: bad }
}

/** ITU-R BT.601, as most libraries make images grey. */
function luma(rgb: Uint8Array): Uint8Array {
  const grey = new Uint8Array(rgb.length / 3)
  for (let i = 0; i < grey.length; i++)
    grey[i] = (19595 * rgb[3 * i] + 38470 * rgb[3 * i + 1] + 7471 * rgb[3 * i + 2] + 32768) >>> 16
  return grey
}

/** The path of an image, or what gives its bytes. */
export type ImageFile = string | (() => Promise<Uint8Array>)

export async function imageKernel(
  items: Pick<Pictures, 'ids' | 'labels' | 'captions' | 'skipped'> & { images: readonly ImageFile[] },
  options: SourceOptions,
): Promise<Kernel> {
  const { maxPixels = 100e6, decodesAtOnce = 256, cacheBytes = 2 ** 30 } = options
  const shape = options.shape as readonly [number, number, number]
  const sharp = await loadSharp()
  const settings = { size: [shape[0], shape[1]] as const, maxPixels }
  return pictureKernel({
    ...items,
    modality: 'image',
    shape,
    decodesAtOnce,
    cacheBytes,
    decode: async index => {
      const image = items.images[index]
      return decodeImage(sharp, typeof image === 'string' ? image : await image(), settings)
    },
    reason: decodeReason,
  })
}
