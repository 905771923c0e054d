import { VqValueError } from '@vq/core'
import { fontStack, loadSharp } from '../image/sharp.js'
import { ink } from './theme.js'

/** Pixels per SVG unit: an embedded picture meets the pixels of the default PNG one to one. */
const density = 2

export interface TextOptions {
  size?: number
  color?: string
  anchor?: 'start' | 'middle' | 'end'
}

export function svgText(
  x: number,
  y: number,
  content: string,
  { size = 11, color = ink.text, anchor = 'start' }: TextOptions = {},
): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-family="${fontStack}" font-size="${size}" fill="${color}">${escaped(content)}</text>`
}

export function svgPage(width: number, height: number, parts: readonly string[]): string {
  const [w, h] = [Math.ceil(width), Math.ceil(height)]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}"><rect width="100%" height="100%" fill="#ffffff"/>${parts.join('\n')}</svg>`
}

function escaped(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

/** The size in SVG units of an image of width × height pixels drawn about `wanted` units wide. */
export function tileSize(
  width: number,
  height: number,
  wanted: number,
): { width: number; height: number; enlarge: number } {
  const scale = (wanted * density) / width
  // Small images are enlarged by a whole number, so that every pixel is a square block.
  const enlarge = scale >= 1 ? Math.round(scale) : scale
  const [w, h] = [width, height].map(n => Math.max(1, Math.round(n * enlarge)))
  return { width: w / density, height: h / density, enlarge }
}

/** An image [H, W, C], C 1 or 3, values 0..1, as an SVG element. */
export async function svgImage(
  image: Float32Array,
  shape: readonly [number, number, number],
  at: { x: number; y: number },
  wanted: number,
): Promise<string> {
  const [height, width, channels] = shape
  const size = tileSize(width, height, wanted)
  const sharp = await loadSharp()
  const bytes = new Uint8Array(image.length)
  for (const [i, v] of image.entries()) {
    if (Number.isNaN(v))
      throw new VqValueError({
        operation: 'drawing an image',
        expected: 'numbers from 0 to 1',
        received: `NaN at number ${i} of the image`,
        remedy: 'Look for the step that made it.',
      })
    bytes[i] = Math.round(Math.min(1, Math.max(0, v)) * 255)
  }
  const png = await sharp(bytes, { raw: { width, height, channels: channels as 1 | 3 } })
    .resize(size.width * density, size.height * density, {
      kernel: size.enlarge >= 1 ? 'nearest' : 'lanczos3',
      fit: 'fill',
    })
    .png()
    .toBuffer()
  return `<image x="${at.x}" y="${at.y}" width="${size.width}" height="${size.height}" href="data:image/png;base64,${png.toString('base64')}"/>`
}
