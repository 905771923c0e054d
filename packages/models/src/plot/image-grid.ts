import { expectConfig, expectInteger, expectShape } from '@vq/core'
import { type Figure, figure } from './figure.js'
import { svgImage, svgPage, svgText, tileSize } from './svg.js'
import { textWidth, wrapText } from './text.js'
import { ink } from './theme.js'

export interface ImageRow {
  /** Written at the left. */
  label?: string
  /** [N, H, W, C], values 0..1. */
  images: Float32Array
  /** One below each image. */
  captions?: readonly string[]
}

export interface ImageGridOptions {
  /** [N, H, W, C] of every row; C is 1 or 3. */
  shape: readonly number[]
  /** Images side by side; where there are more, all rows go on below. Default: all up to 8. */
  columns?: number
  /** One above each image of the first row. */
  columnLabels?: readonly string[]
  title?: string
  subtitle?: string
}

const gap = 3
const margin = 18
const tile = 94
// Titles go on in a further line where they are wider than the images, and than this.
const leastTitle = 420
const widestLabel = 220

/** Images in labelled rows, each pixel enlarged to a square block where images are small. Throws VqShapeError. */
export async function imageGrid(rows: readonly ImageRow[], options: ImageGridOptions): Promise<Figure> {
  const { shape, columnLabels, title, subtitle } = options
  const [count, height, width, channels] = shape
  expectGrid('imageGrid', rows, options)
  const columns = Math.min(options.columns ?? 8, count)
  const size = tileSize(width, height, tile)
  const labels = rows.map(row => wrapText(row.label ?? '', widestLabel))
  const letters = Math.max(...labels.flat().map(label => textWidth(label)))
  const left = margin + (letters > 0 ? Math.ceil(letters) + 8 : 0)
  const inner = Math.max(left - margin + columns * (size.width + gap) - gap, leastTitle)
  const parts: string[] = []
  let y = margin
  let widest = left + columns * (size.width + gap) - gap
  for (const [text, letter, color, first, next] of [
    [title, 17, ink.title, 15, 21],
    [subtitle, 12, ink.text, 20, 15],
  ] as const)
    for (const [l, part] of (text === undefined ? [] : wrapText(text, inner, letter)).entries()) {
      y += l === 0 ? first : next
      parts.push(svgText(margin, y, part, { size: letter, color }))
      widest = Math.max(widest, margin + textWidth(part, letter))
    }
  if (y > margin) y += 12
  for (let from = 0; from < count; from += columns) {
    const to = Math.min(count, from + columns)
    const across = (n: number): number => left + (n - from) * (size.width + gap)
    const centred = (n: number, text: string, at: number): string =>
      svgText(across(n) + size.width / 2, at, text, { anchor: 'middle' })
    if (columnLabels !== undefined) {
      const wrapped = columnLabels.slice(from, to).map(label => wrapText(label, size.width))
      const lines = Math.max(...wrapped.map(texts => texts.length))
      // From the last line up, so that all stand on the images.
      for (const [n, texts] of wrapped.entries())
        for (const [l, text] of texts.entries())
          parts.push(centred(from + n, text, y + 10 + 13 * (lines - texts.length + l)))
      y += 2 + 13 * lines
    }
    for (const [r, { images, captions }] of rows.entries()) {
      const wrapped = captions?.map(caption => wrapText(caption, size.width))
      for (const [l, text] of labels[r].entries()) {
        const middle = y + size.height / 2 + 4 + 13 * (l - (labels[r].length - 1) / 2)
        if (text !== '') parts.push(svgText(left - 8, middle, text, { anchor: 'end' }))
      }
      for (let n = from; n < to; n++) {
        const image = images.subarray(n * height * width * channels, (n + 1) * height * width * channels)
        parts.push(await svgImage(image, [height, width, channels], { x: across(n), y }, tile))
        for (const [l, text] of (wrapped?.[n] ?? []).entries())
          parts.push(centred(n, text, y + size.height + 12 + 13 * l))
      }
      const lines = Math.max(0, ...(wrapped?.slice(from, to) ?? []).map(texts => texts.length))
      y += size.height + gap + (lines === 0 ? 0 : 13 * lines + 4)
    }
    y += from + columns < count && rows.length > 1 ? 12 : 0
  }
  return figure(svgPage(widest + margin, y - gap + margin, parts))
}

function expectGrid(operation: string, rows: readonly ImageRow[], options: ImageGridOptions): void {
  const { shape, columns, columnLabels } = options
  const [count, height, width, channels] = shape
  const whole = shape.every(n => Number.isSafeInteger(n) && n > 0)
  const size = count * height * width * channels
  expectShape(
    shape.length === 4 && whole && (channels === 1 || channels === 3) && rows.length > 0,
    operation,
    'rows of images [N, H, W, 1 or 3]',
    `${rows.length} rows of shape [${shape.join(', ')}]`,
    'Pass images with the channels last, and the shape of one row.',
  )
  for (const { label = '', images, captions } of rows) {
    expectShape(
      images.length === size,
      operation,
      `${size} numbers for [${shape.join(', ')}] in row "${label}"`,
      `${images.length}`,
      'Pass NHWC images in 0..1 and their shape.',
    )
    for (const texts of [captions, columnLabels])
      expectConfig(
        texts === undefined || texts.length === count,
        operation,
        `${count} captions`,
        texts,
        'Pass one per image.',
      )
  }
  if (columns !== undefined) expectInteger(operation, 'columns', columns, 1)
}
