import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import type { Sharp } from 'sharp'
import type { SharpFactory } from '../image/sharp.js'
import { decodeSmallJpeg } from './jpeg/decode-small.js'

export interface DecodeOptions {
  /** Edge of the square result in pixels, or its height and width. */
  size: number | readonly [height: number, width: number]
  /** Larger images are refused before they are decoded. */
  maxPixels: number
  /** Turn it as its EXIF orientation says. Default true. */
  autoOrient?: boolean
  /** The first frame of a GIF too. Default false. */
  gif?: boolean
}

/** A reason of our own, good enough to be shown as it is. */
export class Refused extends Error {}

// Up to here setting up the library takes longer than decoding.
const smallPixels = 64 * 64

// Thousands of them in a row must not keep signals and timers waiting.
const longestStretch = 10
let pause = 0

async function nextTurn(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
  pause = performance.now() + longestStretch
}

// Larger files are not held in memory while they wait.
const heldBytes = 2 ** 18

/**
 * One file, by its path or as its bytes, as RGB bytes `[height, width, 3]`: turned as its EXIF orientation says, laid on white where transparent,
 * converted to sRGB, scaled to cover the rectangle (Lanczos), cropped in the centre. `decodeReason` puts what it throws into
 * a few words. It needs one turn of the event loop, which a training step holds up; JPEGs of a few pixels that already have the size
 * are decoded here and now, to the same bytes.
 */
export async function decodeImage(
  sharp: SharpFactory,
  file: string | Uint8Array,
  options: DecodeOptions,
): Promise<Uint8Array> {
  const { size, maxPixels, autoOrient = true, gif = false } = options
  const [height, width] = typeof size === 'number' ? [size, size] : size
  const source = typeof file === 'string' ? sourceOf(file) : file
  if (source.length === 0) throw new Refused('empty file')
  const start = typeof source === 'string' ? startOf(source) : source
  const known = isKnown(start) || (gif && isGif(start))
  try {
    // The content decides, not the name: an SVG named .png would otherwise be rendered.
    if (!known) throw new Refused('not an image that can be read')
    if (height * width <= smallPixels && typeof source !== 'string' && height * width <= maxPixels) {
      const pixels = decodeSmallJpeg(source, height, width)
      if (performance.now() > pause) await nextTurn()
      if (pixels !== undefined) return pixels
    }
    const image = sharp(source, { limitInputPixels: maxPixels, failOn: 'error', autoOrient })
    return await pixelsOf(image, height, width)
  } catch (error) {
    throw await betterReason(sharp, source, maxPixels, error)
  }
}

function sourceOf(file: string): Uint8Array | string {
  const info = statSync(file)
  if (!info.isFile()) throw new Refused('not a regular file')
  if (info.size === 0) return new Uint8Array(0)
  return info.size <= heldBytes ? readFileSync(file) : file
}

function startOf(file: string): Uint8Array {
  const start = new Uint8Array(12)
  const handle = openSync(file, 'r')
  try {
    return start.subarray(0, readSync(handle, start, 0, start.length, 0))
  } finally {
    closeSync(handle)
  }
}

// By the first bytes of JPEG, PNG and WebP.
function isKnown(bytes: Uint8Array): boolean {
  const word = (at: number): number =>
    ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0
  return (
    word(0) >>> 8 === 0xffd8ff || word(0) === 0x89504e47 || (word(0) === 0x52494646 && word(8) === 0x57454250)
  )
}

function isGif(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(0, 4)) === 'GIF8'
}

// Looks closer at what failed.
async function betterReason(
  sharp: SharpFactory,
  source: Uint8Array | string,
  maxPixels: number,
  error: unknown,
): Promise<unknown> {
  const info = await sharp(source, { limitInputPixels: false })
    .metadata()
    .catch(() => undefined)
  if (info === undefined) return error
  const { format, width, height } = info
  if (!formats.has(format)) return new Refused(`holds ${format}, not JPEG, PNG or WebP`)
  if (width * height > maxPixels) return new Refused(`${width}×${height} is over ${maxPixels} pixels`)
  return error
}

const formats = new Set(['jpeg', 'png', 'webp'])

async function pixelsOf(image: Sharp, height: number, width: number): Promise<Uint8Array> {
  const { data, info: out } = await image
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .resize(width, height, { fit: 'cover', position: 'centre' })
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  if (out.channels === 3) return data
  if (out.channels === 1) return greyToRgb(data)
  throw new Refused(`decodes to ${out.channels} channels`)
}

function greyToRgb(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3)
  for (let i = 0; i < grey.length; i++) rgb.fill(grey[i]!, 3 * i, 3 * i + 3)
  return rgb
}

/** The reason a file was refused, short and without the path, which stands beside it. */
export function decodeReason(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException
  if (error instanceof Refused) return message
  if (code === 'EACCES') return 'no permission to read it'
  if (code === 'ENOENT' || /^Input file is missing/.test(message)) return 'it vanished'
  if (/unsupported image format|no such loader|not a known/i.test(message))
    return 'not an image that can be read'
  if (/exceeds pixel limit/i.test(message)) return 'more pixels than maxPixels'
  return `corrupt or unreadable (${message
    .split('\n')[0]!
    .replace(/^.*?: (?=\S)/, '')
    .slice(0, 100)})`
}
