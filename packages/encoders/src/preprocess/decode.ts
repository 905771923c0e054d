// Files of images as bytes, by sharp, which is loaded on first use.
import { expectConfig, VqDeviceError, VqFormatError } from '@vq/core'
import type { RawImage } from './resize.js'

type Sharp = typeof import('sharp')

/** A path, the bytes of a file (JPEG, PNG, WebP, …), or pixels. */
export type ImageSource = string | Uint8Array | RawImage

const mostPixels = 2 ** 28
let loading: Promise<Sharp> | undefined

async function load(): Promise<Sharp> {
  try {
    return (await import('sharp')).default as unknown as Sharp
  } catch (cause) {
    throw new VqDeviceError({
      operation: 'loading sharp',
      expected: `its library for ${process.platform}-${process.arch}`,
      received: (cause as Error).message.split('\n')[0] ?? '',
      remedy: 'Reinstall @vq/encoders without --omit=optional, or pass pixels.',
      cause,
    })
  }
}

/**
 * Pixels as Pillow's `convert('RGB')` gives them: no colour profile or orientation is applied, transparency is dropped.
 * Throws VqFormatError for what is no image or has more than 2^28 pixels.
 */
export async function decodeRgb(source: ImageSource): Promise<RawImage> {
  const operation = 'decoding an image'
  if (typeof source === 'object' && !(source instanceof Uint8Array)) return asRgb(operation, source)
  expectConfig(
    typeof source === 'string' || source instanceof Uint8Array,
    operation,
    'a path, bytes of a file, or { data, width, height, channels }',
    source,
    'Pass one of these.',
  )
  loading ??= load()
  const sharp = (await loading) as unknown as typeof import('sharp').default
  try {
    const { data, info } = await sharp(source, {
      limitInputPixels: mostPixels,
      failOn: 'error',
      ignoreIcc: true,
    })
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return asRgb(operation, { data, width: info.width, height: info.height, channels: info.channels })
  } catch (cause) {
    throw new VqFormatError({
      operation: typeof source === 'string' ? `${operation}, ${source}` : operation,
      expected: 'a file that holds an image',
      received: (cause as Error).message.split('\n')[0] ?? '',
      remedy: 'Check the path and the file.',
      cause,
    })
  }
}

function asRgb(operation: string, image: RawImage): RawImage {
  const { data, width, height, channels } = image ?? {}
  expectConfig(
    data instanceof Uint8Array &&
      [width, height].every(n => Number.isInteger(n) && n > 0) &&
      [1, 3, 4].includes(channels) &&
      data.length === width * height * channels,
    operation,
    'bytes [height, width, channels] of 1, 3 or 4 channels',
    image,
    'Pass { data, width, height, channels } that fit together.',
  )
  if (channels === 3) return image
  const rgb = new Uint8Array(width * height * 3)
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) rgb[i * 3 + c] = data[i * channels + (channels === 1 ? 0 : c)]!
  return { data: rgb, width, height, channels: 3 }
}
