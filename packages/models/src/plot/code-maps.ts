import { expectInteger, expectShape, VqValueError } from '@vq/core'
import { codeColors } from './code-colors.js'
import type { Figure } from './figure.js'
import { imageGrid } from './image-grid.js'

export interface CodeMapsOptions {
  /** [N, H, W, C] of the images. */
  shape: readonly number[]
  /** [h, w], the grid of codes of one image. */
  grid: readonly [number, number]
  /** K */
  numEmbeddings: number
  /** [K, dim]: codes that lie near each other then have like colours. */
  codebook?: Float32Array
  /** Default 8. */
  columns?: number
  title?: string
  subtitle?: string
}

/**
 * Images [N, H, W, C] above the maps of their codes [N, h, w], a colour per code, and above both laid over each other. Codes
 * of −1, which a mask left out, are white. Throws VqShapeError, and VqValueError for a code that is none.
 */
export function codeMaps(
  images: Float32Array,
  codes: ArrayLike<number>,
  options: CodeMapsOptions,
): Promise<Figure> {
  const { shape, grid, numEmbeddings, codebook, ...rest } = options
  expectInteger('codeMaps', 'numEmbeddings', numEmbeddings, 1)
  const [count, height, width, channels] = shape
  const [h, w] = grid
  expectShape(
    shape.length === 4 && codes.length === count * h * w,
    'codeMaps',
    `codes [${count}, ${h}, ${w}]`,
    `${codes.length} codes`,
    'Pass the codes of these images, and their grid [h, w].',
  )
  expectShape(
    (channels === 1 || channels === 3) && images.length === count * height * width * channels,
    'codeMaps',
    `images [${count}, ${height}, ${width}, 1 or 3]`,
    `shape [${shape.join(', ')}] and ${images.length} numbers`,
    'Pass images with the channels last, and their shape.',
  )
  expectShape(
    codebook === undefined || (codebook.length > 0 && codebook.length % numEmbeddings === 0),
    'codeMaps',
    `a codebook [${numEmbeddings}, dim]`,
    `${codebook?.length} numbers`,
    'Pass the whole codebook, row by row.',
  )
  const colors = codeColors(numEmbeddings, codebook)
  // Each image's map is as large as the image; the other way round where the grid is finer.
  const [mapHeight, mapWidth] = [Math.max(height, h), Math.max(width, w)]
  const pixels = count * mapHeight * mapWidth
  const [own, maps, both] = [0, 1, 2].map(() => new Float32Array(pixels * 3))
  for (let i = 0; i < pixels; i++) {
    const [n, y, x] = [
      Math.floor(i / mapWidth / mapHeight),
      Math.floor(i / mapWidth) % mapHeight,
      i % mapWidth,
    ]
    const code = codes[(n * h + Math.floor((y * h) / mapHeight)) * w + Math.floor((x * w) / mapWidth)]
    if (!(Number.isInteger(code) && code >= -1 && code < numEmbeddings))
      throw new VqValueError({
        operation: 'codeMaps',
        expected: `codes from 0 to ${numEmbeddings - 1}`,
        received: `${code} in image ${n}`,
        remedy: 'Pass the codes of one level, and how many there are.',
      })
    const color = code < 0 ? [1, 1, 1] : colors[code]
    const from =
      (n * height + Math.floor((y * height) / mapHeight)) * width + Math.floor((x * width) / mapWidth)
    for (let c = 0; c < 3; c++) {
      own[3 * i + c] = images[from * channels + (channels === 3 ? c : 0)]
      maps[3 * i + c] = color[c]
      both[3 * i + c] = 0.5 * own[3 * i + c] + 0.5 * color[c]
    }
  }
  const used = new Set(Array.from(codes).filter(c => c >= 0)).size
  return imageGrid(
    [
      { label: 'image', images: own },
      { label: 'codes', images: maps },
      { label: 'both', images: both },
    ],
    {
      title: `Codes of each image, ${h} × ${w}`,
      subtitle: `${used} of ${numEmbeddings} codes in these images`,
      ...rest,
      shape: [count, mapHeight, mapWidth, 3],
    },
  )
}
