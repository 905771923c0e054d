import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import type { SharpFactory } from '../../image/sharp.js'
import { decodeReason, Refused } from '../decode.js'
import type { MaskedItem, MaskMeaning } from './masked-images.js'

/**
 * A mask as class numbers [size, size], int8 as bytes: the nearest pixel of the part of it that covers the square, cropped in the
 * centre as its image is. Throws VqFormatError where it cannot be read, its size is not the image's, or a value means nothing.
 */
export async function decodeMask(
  sharp: SharpFactory,
  folder: string,
  item: MaskedItem,
  options: { size: number; maxPixels: number; meaning: MaskMeaning },
): Promise<Uint8Array> {
  const { size, maxPixels, meaning } = options
  const bad = (expected: string, received: string, cause?: unknown): VqFormatError =>
    new VqFormatError({
      operation: 'maskedImages',
      expected,
      received,
      remedy: "Repair or remove it and its image, or pass damaged: 'skip'.",
      cause,
    })
  const { values, width, height } = await readMask(sharp, folder, item, maxPixels).catch(cause => {
    throw bad(`a grey mask of 8 bits that can be read in ${item.mask}`, maskReason(cause), cause)
  })
  const image = await sharp(join(folder, item.image), { limitInputPixels: maxPixels })
    .metadata()
    .catch(cause => {
      throw bad(`an image in ${item.image}`, maskReason(cause), cause)
    })
  if (image.width !== width || image.height !== height)
    throw bad(`${image.width}×${image.height} as its image is in ${item.mask}`, `${width}×${height}`)
  const out = new Int8Array(size * size)
  const [columns, rows] = coverNearest(width, height, size)
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const value = values[rows[y] * width + columns[x]]
      const id = meaning.classOf.get(value)
      if (id === undefined)
        throw bad(`values ${[...meaning.classOf.keys()].join(', ')} in ${item.mask}`, `${value}`)
      out[y * size + x] = id
    }
  return new Uint8Array(out.buffer)
}

/** In a few words; unlike files of a folder that was listed, those of a list may never have been there. */
export function maskReason(error: unknown): string {
  const reason = decodeReason(error)
  return reason === 'it vanished' ? 'no such file' : reason
}

async function readMask(
  sharp: SharpFactory,
  folder: string,
  item: MaskedItem,
  maxPixels: number,
): Promise<{ values: Uint8Array; width: number; height: number }> {
  const mask = sharp(join(folder, item.mask), { limitInputPixels: maxPixels, failOn: 'error' })
  // sharp gives a palette's colours rather than its numbers, and spreads fewer than 8 bits over a byte.
  const { isPalette, bitsPerSample = 8, channels } = await mask.metadata()
  if (isPalette || bitsPerSample !== 8 || channels > 2)
    throw new Refused(isPalette ? 'a palette' : `${channels} channels of ${bitsPerSample} bits`)
  const { data, info } = await mask
    .extractChannel(0)
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return { values: data, width: info.width, height: info.height }
}

/**
 * For each column and row of the square the source's nearest one, when it is scaled to cover the square and cropped in the
 * centre as sharp does.
 */
export function coverNearest(width: number, height: number, size: number): [Int32Array, Int32Array] {
  const scale = size / Math.min(width, height)
  const along = (edge: number): Int32Array => {
    const scaled = Math.max(size, Math.round(edge * scale))
    const crop = Math.floor((scaled - size + 1) / 2)
    return Int32Array.from({ length: size }, (_, i) =>
      Math.min(edge - 1, Math.floor(((i + crop + 0.5) * edge) / scaled)),
    )
  }
  return [along(width), along(height)]
}
