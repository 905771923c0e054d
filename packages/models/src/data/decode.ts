import { readFileSync, statSync } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import type { Sharp } from 'sharp'
import type { SharpFactory } from '../image/sharp.js'

export interface DecodeOptions {
  /** Edge of the square result in pixels. */
  size: number
  /** Larger images are refused before they are decoded. */
  maxPixels: number
  /** Turn it as its EXIF orientation says. Default true. */
  autoOrient?: boolean
}

/** A reason of our own, good enough to be shown as it is. */
export class Refused extends Error {}

const formats = new Set(['jpeg', 'png', 'webp'])

/**
 * One file as RGB bytes `[size, size, 3]`: turned as its EXIF orientation says, laid on white where transparent,
 * converted to sRGB, scaled to cover the square (Lanczos), cropped in the centre. `decodeReason` puts what it throws into
 * a few words.
 */
export async function decodeImage(
  sharp: SharpFactory,
  file: string,
  options: DecodeOptions,
): Promise<Uint8Array> {
  const { size, maxPixels, autoOrient = true } = options
  const info = await stat(file)
  if (!info.isFile()) throw new Refused('not a regular file')
  if (info.size === 0) throw new Refused('empty file')
  await access(file, constants.R_OK) // sharp would not say why
  const image = sharp(file, { limitInputPixels: maxPixels, failOn: 'error', autoOrient })
  // The content decides, not the name: an SVG named .png would otherwise be rendered.
  const { format, width, height } = await image.metadata()
  if (!formats.has(format)) throw new Refused(`holds ${format}, not JPEG, PNG or WebP`)
  if (width * height > maxPixels) throw new Refused(`${width}×${height} is over ${maxPixels} pixels`)
  return pixelsOf(image, size)
}

/** What tells that a file is the one that was decoded before. */
export interface Stamp {
  size: number
  modified: number
}

export function stampOf(file: string): Stamp | undefined {
  const info = statSync(file, { throwIfNoEntry: false })
  return info?.isFile() ? { size: info.size, modified: info.mtimeMs } : undefined
}

// Larger files are not held in memory while they wait.
const heldBytes = 2 ** 18

/**
 * The same for a file that was decoded before. One that is still what it was is not looked at again, and needs one turn of the
 * event loop, which a training step holds up.
 */
export function decodeAgain(
  sharp: SharpFactory,
  file: string,
  options: DecodeOptions,
  before: Stamp | undefined,
): Promise<Uint8Array> {
  const now = stampOf(file)
  if (before === undefined || now?.size !== before.size || now.modified !== before.modified)
    return decodeImage(sharp, file, options)
  const { size, maxPixels, autoOrient = true } = options
  const source = now.size <= heldBytes ? readFileSync(file) : file
  return pixelsOf(sharp(source, { limitInputPixels: maxPixels, failOn: 'error', autoOrient }), size)
}

async function pixelsOf(image: Sharp, size: number): Promise<Uint8Array> {
  const { data, info: out } = await image
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .resize(size, size, { fit: 'cover', position: 'centre' })
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
  if (code === 'ENOENT') return 'it vanished'
  if (/unsupported image format|no such loader|not a known/i.test(message))
    return 'not an image that can be read'
  if (/exceeds pixel limit/i.test(message)) return 'more pixels than maxPixels'
  return `corrupt or unreadable (${message
    .split('\n')[0]!
    .replace(/^.*?: (?=\S)/, '')
    .slice(0, 100)})`
}
