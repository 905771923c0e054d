import { expectShape } from '@vq/core'
import { fontFamily, loadSharp } from '../image/sharp.js'
import { type Figure, figure } from './figure.js'
import { ink } from './theme.js'

export interface ReconstructionGridOptions {
  /** `[N, H, W, 3]`, values 0..1, as are the reconstructions. */
  shape: readonly number[]
  /** Default 8. */
  columns?: number
  title?: string
  subtitle?: string
}

// Pixels per SVG unit: the embedded picture meets the pixels of the default PNG one to one.
const density = 2
const gap = 3
const margin = 18
const labelHeight = 22

/**
 * Originals above their reconstructions, in as many pairs of rows as needed, each pixel enlarged to a square block where
 * images are small.
 */
export async function reconstructionGrid(
  originals: Float32Array,
  reconstructions: Float32Array,
  options: ReconstructionGridOptions,
): Promise<Figure> {
  const { shape, title = 'Originals above reconstructions', subtitle } = options
  const [count, height, width, channels] = shape as [number, number, number, number]
  const fits =
    shape.length === 4 && channels === 3 && count > 0 && originals.length === count * height * width * 3
  expectShape(
    fits && reconstructions.length === originals.length,
    'reconstructionGrid',
    'originals and reconstructions of shape [N, H, W, 3]',
    `shape [${shape.join(', ')}], lengths ${originals.length} and ${reconstructions.length}`,
    'Pass NHWC images in 0..1 and their shape.',
  )
  const columns = Math.min(options.columns ?? 8, count)
  const enlarge = Math.max(1, Math.round((94 * density) / width))
  const [tileWidth, tileHeight] = [(width * enlarge) / density, (height * enlarge) / density]
  const pairs = Math.ceil(count / columns)
  const pairHeight = 2 * (tileHeight + gap) + 12
  const top = margin + 26 + (subtitle === undefined ? 0 : 18) + labelHeight - 10
  const left = margin + labelHeight
  const total = {
    width: Math.max(left + columns * (tileWidth + gap) - gap + margin, 420),
    height: top + pairs * pairHeight - 12 - gap + margin,
  }
  const parts = [
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(margin, margin + 15, 17, ink.title, title),
    ...(subtitle === undefined ? [] : [text(margin, margin + 36, 12, ink.text, subtitle)]),
  ]
  for (let pair = 0; pair < pairs; pair++) {
    const from = pair * columns
    const to = Math.min(count, from + columns)
    for (const [row, [name, images]] of [
      ['original', originals] as const,
      ['reconstruction', reconstructions] as const,
    ].entries()) {
      const y = top + pair * pairHeight + row * (tileHeight + gap)
      parts.push(
        sideText(margin + 11, y + tileHeight / 2, tileHeight < 80 && name.length > 9 ? 'decoded' : name),
      )
      for (let n = from; n < to; n++) {
        const png = await tile(
          images.subarray(n * height * width * 3, (n + 1) * height * width * 3),
          width,
          height,
          enlarge,
        )
        const x = left + (n - from) * (tileWidth + gap)
        parts.push(
          `<image x="${x}" y="${y}" width="${tileWidth}" height="${tileHeight}" href="data:image/png;base64,${png}"/>`,
        )
      }
    }
  }
  return figure(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}">${parts.join('\n')}</svg>`,
  )
}

async function tile(image: Float32Array, width: number, height: number, enlarge: number): Promise<string> {
  const sharp = await loadSharp()
  const bytes = Uint8Array.from(image, v => Math.round(Math.min(1, Math.max(0, v)) * 255))
  const png = await sharp(bytes, { raw: { width, height, channels: 3 } })
    .resize(width * enlarge, height * enlarge, { kernel: 'nearest' })
    .png()
    .toBuffer()
  return png.toString('base64')
}

function text(x: number, y: number, size: number, color: string, content: string): string {
  return `<text x="${x}" y="${y}" font-family="${fontFamily}" font-size="${size}" fill="${color}">${escaped(content)}</text>`
}

function sideText(x: number, y: number, content: string): string {
  return `<text transform="translate(${x} ${y}) rotate(-90)" text-anchor="middle" font-family="${fontFamily}" font-size="11" fill="${ink.text}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
