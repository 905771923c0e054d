import { expectConfig, expectInteger, expectNumber, Random } from '@vq/core'
import { type Dataset, type Extras, expectIndices } from './dataset.js'

export interface RandomCropsOptions {
  /** Edge of the square crops in pixels; the source's edges are at least as long. */
  size: number
  /** How many crops of each image make up the data set. */
  copies: number
  /** Least edge of the window as a share of the shorter edge, at least size / edge. Default 0.6. */
  minScale?: number
  /** Mirror every second crop at random. Default true. */
  flip?: boolean
  seed?: number
}

/**
 * A larger data set out of few images: item `copy · length + i` is a random square window of image i, scaled down to
 * `size` by averaging areas, perhaps mirrored. It depends on seed and number alone, so a run can be resumed exactly. Extras
 * of the image, such as its label, go with each crop; one of the image's height and width, such as a mask, is refused.
 */
export function randomCrops(source: Dataset, options: RandomCropsOptions): Dataset {
  const { size, copies, minScale = 0.6, flip = true, seed = 0 } = options
  const [height, width, channels] = source.shape as [number, number, number]
  const edge = Math.min(height, width)
  expectInteger('randomCrops', 'copies', copies, 1)
  expectInteger('randomCrops', 'size', size, 1)
  expectNumber('randomCrops', 'minScale', minScale, 0, 1)
  expectConfig(
    source.shape.length === 3 && edge >= size,
    'randomCrops',
    `images [H, W, C] of at least ${size}×${size}`,
    source.shape.join('×'),
    'Open the images larger, such as twice the size of the crops.',
  )
  const random = new Random(seed)
  const least = Math.max(size, minScale * edge)
  const inputs = height * width * channels
  const outputs = size * size * channels

  const crop = (images: Float32Array, indices: Int32Array): Float32Array => {
    const out = new Float32Array(indices.length * outputs)
    for (const [n, index] of indices.entries()) {
      random.seed(seed, index)
      const side = random.uniform(least, edge)
      const columns = spans(size, random.uniform(0, width - side), side, width)
      const rows = spans(size, random.uniform(0, height - side), side, height)
      if (flip && random.uniform() < 0.5) columns.reverse()
      const image = images.subarray(n * inputs, (n + 1) * inputs)
      averageAreas(image, width, channels, rows, columns, out.subarray(n * outputs, (n + 1) * outputs))
    }
    return out
  }

  const originals = (operation: string, indices: Int32Array): Int32Array => {
    expectIndices(operation, { length: source.length * copies }, indices)
    return indices.map(index => index % source.length)
  }
  return {
    length: source.length * copies,
    shape: [size, size, channels],
    batch: indices => {
      const images = source.batch(originals('randomCrops.batch', indices))
      return images instanceof Float32Array ? crop(images, indices) : images.then(all => crop(all, indices))
    },
    ...(source.extras && {
      extras: async indices => {
        const extras = await source.extras!(originals('randomCrops.extras', indices))
        expectNoMaps(extras, height, width)
        return extras
      },
    }),
  }
}

function expectNoMaps(extras: Extras, height: number, width: number): void {
  for (const [name, { shape }] of Object.entries(extras))
    expectConfig(
      shape[1] !== height || shape[2] !== width,
      'randomCrops',
      `extras that belong to an image as a whole`,
      `${name} [${shape.join(', ')}]`,
      'Crop images and their maps together in a data set of your own.',
    )
}

interface Span {
  from: number
  to: number
}

// The stretch of the source that each output pixel covers.
function spans(count: number, start: number, side: number, limit: number): Span[] {
  return Array.from({ length: count }, (_, i) => ({
    from: Math.min(start + (i * side) / count, limit),
    to: Math.min(start + ((i + 1) * side) / count, limit),
  }))
}

function averageAreas(
  image: Float32Array,
  width: number,
  channels: number,
  rows: Span[],
  columns: Span[],
  out: Float32Array,
): void {
  let at = 0
  for (const row of rows)
    for (const column of columns) {
      const area = (row.to - row.from) * (column.to - column.from)
      for (let y = Math.floor(row.from); y < row.to; y++) {
        const tall = Math.min(y + 1, row.to) - Math.max(y, row.from)
        for (let x = Math.floor(column.from); x < column.to; x++) {
          const weight = (tall * (Math.min(x + 1, column.to) - Math.max(x, column.from))) / area
          for (let c = 0; c < channels; c++) out[at + c]! += weight * image[(y * width + x) * channels + c]!
        }
      }
      at += channels
    }
}
