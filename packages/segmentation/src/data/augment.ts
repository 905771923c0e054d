import { expectConfig, expectInteger, expectNumber, Random } from '@vq/core'
import { type Dataset, type Extras, expectIndices } from '@vq/models/data'
import { expectDataset } from '../options.js'

export interface AugmentMaskedOptions {
  /** Edge of the square results in pixels. Default: the source's. */
  size?: number
  /** How many versions of each image make up the data set. Default 1. */
  copies?: number
  /** Least edge of the window that is cut out, as a share of the image's, in (0, 1]. Default 0.5. */
  minScale?: number
  /** How much longer one edge of the window may be than the other, at least 1. Default 1.25. */
  maxAspect?: number
  /** Largest turn in degrees, 0 to 45. Default 10. */
  rotation?: number
  /** Mirror every second version at random. Default true. */
  flip?: boolean
  /** How far brightness, contrast and saturation are scaled, each by 1 ± color, in [0, 1). Default 0.3. */
  color?: number
  /** Whether the first version of each image is the whole of it as it is. Default false. */
  keepFirst?: boolean
  seed?: number
}

/**
 * A larger data set out of few images with masks: item `copy · length + i` is a random window of image i, turned, perhaps
 * mirrored, in other colours; the extra `mask` [N, H, W] int32 follows in all but the colours. Images are read between their
 * pixels, masks at the nearest one; what lies outside is 0 and in masks −1, which no loss counts. An item depends on seed and
 * number alone, so that a run can be resumed exactly. Throws VqConfigError.
 */
export function augmentMasked(source: Dataset, options: AugmentMaskedOptions = {}): Dataset {
  const operation = 'augmentMasked'
  expectDataset(operation, source)
  const { copies = 1, minScale = 0.5, maxAspect = 1.25, rotation = 10, flip = true } = options
  const { color = 0.3, keepFirst = false, seed = 0 } = options
  const [height, width, channels] = source.shape as [number, number, number]
  const { extras } = source
  expectConfig(
    source.shape.length === 3 && channels === 3 && height === width && extras !== undefined,
    operation,
    'square colour images with masks',
    source.shape.join('×'),
    'Pass oxfordPet(folder) or imageMaskFolder(folder, …).',
  )
  const { size = height } = options
  expectInteger(operation, 'size', size, 1, 4096)
  expectInteger(operation, 'copies', copies, 1)
  expectNumber(operation, 'minScale', minScale, 0.01, 1)
  expectNumber(operation, 'maxAspect', maxAspect, 1, 4)
  expectNumber(operation, 'rotation', rotation, 0, 45)
  expectNumber(operation, 'color', color, 0, 0.99)
  const length = source.length * copies
  const plainOf = (index: number): boolean => keepFirst && index < source.length
  const windowOf = (index: number): Window =>
    plainOf(index)
      ? whole(height)
      : draw(new Random(seed, index), { edge: height, minScale, maxAspect, rotation, flip })
  const originals = (what: string, indices: Int32Array): Int32Array => {
    expectIndices(what, { length }, indices)
    return indices.map(index => index % source.length)
  }
  return {
    length,
    shape: [size, size, 3],
    batch: async indices => {
      const images = await source.batch(originals('augmentMasked.batch', indices))
      const out = new Float32Array(indices.length * size * size * 3)
      for (const [n, index] of indices.entries()) {
        const own = out.subarray(n * size * size * 3, (n + 1) * size * size * 3)
        const image = images.subarray(n * height * width * 3, (n + 1) * height * width * 3)
        cutImage(image, height, windowOf(index), size, own)
        if (color > 0 && !plainOf(index)) recolor(own, color, new Random(seed + 1, index))
      }
      return out
    },
    extras: async indices => {
      const { mask, ...rest } = (await extras.call(
        source,
        originals('augmentMasked.extras', indices),
      )) as Extras
      expectConfig(
        mask !== undefined && mask.shape.length === 3,
        operation,
        'an extra `mask` [N, H, W]',
        mask?.shape,
        'Pass a data set of images with masks.',
      )
      const out = new Int32Array(indices.length * size * size)
      for (const [n, index] of indices.entries())
        cutMask(
          mask.values.subarray(n * height * width, (n + 1) * height * width) as Int32Array,
          height,
          windowOf(index),
          size,
          out.subarray(n * size * size, (n + 1) * size * size),
        )
      return { ...rest, mask: { values: out, shape: [indices.length, size, size] } }
    },
  }
}

/** A window by its centre and by what a step of its own axes is in the image, in parts of the window's edges. */
interface Window {
  centre: readonly [number, number]
  /** [dy/dv, dx/dv, dy/du, dx/du], v and u from −½ to ½ */
  axes: readonly [number, number, number, number]
}

const whole = (edge: number): Window => ({ centre: [edge / 2, edge / 2], axes: [edge, 0, 0, edge] })

interface Limits {
  edge: number
  minScale: number
  maxAspect: number
  rotation: number
  flip: boolean
}

function draw(random: Random, { edge, minScale, maxAspect, rotation, flip }: Limits): Window {
  const side = edge * Math.sqrt(random.uniform(minScale ** 2, 1))
  const aspect = Math.exp(random.uniform(-1, 1) * 0.5 * Math.log(maxAspect))
  const [h, w] = [Math.min(edge, side * aspect), Math.min(edge, side / aspect)]
  const angle = (random.uniform(-1, 1) * rotation * Math.PI) / 180
  const centre = [h / 2 + random.uniform() * (edge - h), w / 2 + random.uniform() * (edge - w)] as const
  const sign = flip && random.uniform() < 0.5 ? -1 : 1
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
  return { centre, axes: [h * cos, -h * sin, sign * w * sin, sign * w * cos] }
}

/** Calls `at` with every place of the result and where it lies in the image, in pixels whose centres are whole numbers. */
function everyPlace(
  { centre, axes }: Window,
  size: number,
  at: (to: number, y: number, x: number) => void,
): void {
  const [yv, xv, yu, xu] = axes
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const [v, u] = [(row + 0.5) / size - 0.5, (column + 0.5) / size - 0.5]
      at(row * size + column, centre[0] + v * yv + u * yu - 0.5, centre[1] + v * xv + u * xu - 0.5)
    }
}

function cutImage(image: Float32Array, edge: number, window: Window, size: number, out: Float32Array): void {
  const last = edge - 1
  everyPlace(window, size, (to, y, x) => {
    if (y < -0.5 || x < -0.5 || y > last + 0.5 || x > last + 0.5) return
    const [inY, inX] = [Math.min(last, Math.max(0, y)), Math.min(last, Math.max(0, x))]
    const [top, left] = [Math.min(last, Math.floor(inY)), Math.min(last, Math.floor(inX))]
    const [below, right] = [Math.min(last, top + 1), Math.min(last, left + 1)]
    const [fy, fx] = [inY - top, inX - left]
    for (let c = 0; c < 3; c++) {
      const upper = image[(top * edge + left) * 3 + c]! * (1 - fx) + image[(top * edge + right) * 3 + c]! * fx
      const lower =
        image[(below * edge + left) * 3 + c]! * (1 - fx) + image[(below * edge + right) * 3 + c]! * fx
      out[to * 3 + c] = upper * (1 - fy) + lower * fy
    }
  })
}

function cutMask(mask: Int32Array, edge: number, window: Window, size: number, out: Int32Array): void {
  out.fill(-1)
  everyPlace(window, size, (to, y, x) => {
    const [row, column] = [Math.floor(y + 0.5), Math.floor(x + 0.5)]
    if (row >= 0 && column >= 0 && row < edge && column < edge) out[to] = mask[row * edge + column]!
  })
}

// As torchvision's ColorJitter: brightness, then contrast about the mean grey, then saturation about each pixel's grey.
function recolor(image: Float32Array, most: number, random: Random): void {
  const [brightness, contrast, saturation] = [0, 1, 2].map(() => 1 + random.uniform(-most, most)) as [
    number,
    number,
    number,
  ]
  const clamp = (v: number): number => Math.min(1, Math.max(0, v))
  const grey = (i: number): number => 0.299 * image[i]! + 0.587 * image[i + 1]! + 0.114 * image[i + 2]!
  let mean = 0
  for (let i = 0; i < image.length; i++) image[i] = clamp(image[i]! * brightness)
  for (let i = 0; i < image.length; i += 3) mean += (3 * grey(i)) / image.length
  for (let i = 0; i < image.length; i++) image[i] = clamp(mean + (image[i]! - mean) * contrast)
  for (let i = 0; i < image.length; i += 3) {
    const own = grey(i)
    for (let c = 0; c < 3; c++) image[i + c] = clamp(own + (image[i + c]! - own) * saturation)
  }
}
