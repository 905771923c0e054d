// Three kinds of moving pictures behind one call: frames by number.
import { join } from 'node:path'
import type { SharpFactory } from '../../image/sharp.js'
import { decodeImage, Refused } from '../decode.js'
import { type FrameRequest, readFrames } from './ffmpeg.js'

/** Frames as bytes, each [height, width, 3]; fewer than asked for where there are no more. */
export type FrameReader = (request: FrameRequest) => Promise<Uint8Array>

export function videoReader(ffmpeg: () => Promise<string>, file: string): FrameReader {
  return async request => readFrames(await ffmpeg(), file, request)
}

/** Of a folder with one image per frame, in order. */
export function framesReader(
  sharp: SharpFactory,
  folder: string,
  files: readonly string[],
  maxPixels: number,
): FrameReader {
  return async ({ size, stride, skip, count }) => {
    const bytes = size[0] * size[1] * 3
    const wanted = files.filter((_, i) => i % stride === 0).slice(skip, skip + count)
    const out = new Uint8Array(wanted.length * bytes)
    for (const [i, file] of wanted.entries())
      out.set(await decodeImage(sharp, join(folder, file), { size, maxPixels }), i * bytes)
    return out
  }
}

/** Of a GIF or an animated WebP, by sharp. */
export function animationReader(sharp: SharpFactory, file: string, maxPixels: number): FrameReader {
  return async ({ size, stride, skip, count }) => {
    const { pages = 1, width, height, pageHeight = height } = await sharp(file).metadata()
    if (width * pageHeight * pages > maxPixels)
      throw new Refused(`${pages} frames of ${width}×${pageHeight} are over ${maxPixels} pixels`)
    const frames = Math.max(0, Math.min(count, Math.ceil(pages / stride) - skip))
    if (frames === 0) return new Uint8Array(0)
    const first = skip * stride
    const all = await sharp(file, {
      page: first,
      pages: (frames - 1) * stride + 1,
      limitInputPixels: maxPixels,
      failOn: 'error',
    })
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .resize(size[1], size[0], { fit: 'cover', position: 'centre' })
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (all.info.channels !== 3) throw new Refused(`decodes to ${all.info.channels} channels`)
    const bytes = size[0] * size[1] * 3
    const out = new Uint8Array(frames * bytes)
    for (let i = 0; i < frames; i++)
      out.set(all.data.subarray(i * stride * bytes, (i * stride + 1) * bytes), i * bytes)
    return out
  }
}
