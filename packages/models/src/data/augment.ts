import { expectConfig, expectInteger, Random } from '@vq/core'
import { type Dataset, type Extras, expectIndices, type Field, type Values } from './dataset.js'

export interface AugmentOptions {
  /** How many versions of each image make up the data set. Default 1. */
  copies?: number
  /** Mirror every second one at random. Default true. */
  flip?: boolean
  /** Pixels that are added around the image, zero and in masks −1, before the crop. Default 0. */
  padding?: number
  /** Edges [height, width] of the crop, at a random place. Default: the image's. */
  crop?: readonly [number, number]
  seed?: number
}

interface Window {
  top: number
  left: number
  mirrored: boolean
}

/**
 * Images mirrored and cropped at random, the extras that are maps over the image ([N, H, W] and [N, H, W, C], such as `mask`)
 * alike; other extras stay as they are. Item `copy · length + i` is a version of image i that depends on seed and number alone, so
 * that a run can be resumed exactly. Throws VqConfigError for images that are too small.
 */
export function augment(source: Dataset, options: AugmentOptions = {}): Dataset {
  const { copies = 1, flip = true, padding = 0, seed = 0 } = options
  expectConfig(
    source.shape.length === 3,
    'augment',
    'images [H, W, C]',
    source.shape.join('×'),
    'Pass a data set of images.',
  )
  const [height, width, channels] = source.shape
  const { crop: [rows, columns] = [height, width] } = options
  expectInteger('augment', 'copies', copies, 1)
  expectInteger('augment', 'padding', padding, 0, 4096)
  expectInteger('augment', "the crop's height", rows, 1, height + 2 * padding)
  expectInteger('augment', "the crop's width", columns, 1, width + 2 * padding)
  const length = source.length * copies

  const windowOf = (index: number): Window => {
    const random = new Random(seed, index)
    return {
      top: random.integer(height + 2 * padding - rows + 1) - padding,
      left: random.integer(width + 2 * padding - columns + 1) - padding,
      mirrored: flip && random.uniform() < 0.5,
    }
  }
  const move = <V extends Values>(maps: V, depth: number, indices: Int32Array, empty: number): V => {
    const out = (
      maps instanceof Int32Array
        ? new Int32Array(indices.length * rows * columns * depth)
        : new Float32Array(indices.length * rows * columns * depth)
    ) as V
    if (empty !== 0) out.fill(empty)
    for (const [n, index] of indices.entries()) {
      const { top, left, mirrored } = windowOf(index)
      for (let y = 0; y < rows; y++)
        for (let x = 0; x < columns; x++) {
          const [fromY, fromX] = [y + top, (mirrored ? columns - 1 - x : x) + left]
          if (fromY < 0 || fromY >= height || fromX < 0 || fromX >= width) continue
          const from = ((n * height + fromY) * width + fromX) * depth
          const to = ((n * rows + y) * columns + x) * depth
          for (let c = 0; c < depth; c++) out[to + c] = maps[from + c]
        }
    }
    return out
  }
  const originals = (operation: string, indices: Int32Array): Int32Array => {
    expectIndices(operation, { length }, indices)
    return indices.map(index => index % source.length)
  }
  const moveField = ({ values, shape }: Field, indices: Int32Array): Field => {
    const isMap = (shape.length === 3 || shape.length === 4) && shape[1] === height && shape[2] === width
    if (!isMap) return { values, shape }
    return {
      values: move(values, shape[3] ?? 1, indices, values instanceof Int32Array ? -1 : 0),
      shape: [indices.length, rows, columns, ...shape.slice(3)],
    }
  }
  const { extras } = source
  return {
    length,
    shape: [rows, columns, channels],
    batch: async indices =>
      move(await source.batch(originals('augment.batch', indices)), channels, indices, 0),
    ...(extras && {
      extras: async (indices: Int32Array): Promise<Extras> => {
        const fields = await extras.call(source, originals('augment.extras', indices))
        return Object.fromEntries(Object.entries(fields).map(([name, f]) => [name, moveField(f, indices)]))
      },
    }),
    ...(source.labels && { labels: repeat(source.labels, copies) }),
    ...(source.captions && { captions: repeat(source.captions, copies) }),
  }
}

function repeat(names: readonly string[], copies: number): string[] {
  return Array.from({ length: names.length * copies }, (_, i) => names[i % names.length])
}
