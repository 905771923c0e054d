// Resampling as Pillow does it for bytes, to the last bit: two passes, weights of 22 bits behind the point, bytes between them.
// Source: https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c
import { VqMemoryError } from '@vq/core'

/** Filters by Pillow's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming. */
export const filters = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const
export type Filter = (typeof filters)[number]

/** Bytes [height, width, channels] of an image. */
export interface RawImage {
  data: Uint8Array
  width: number
  height: number
  channels: number
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI))

const kernels: Readonly<Record<Exclude<Filter, 'nearest'>, [support: number, (x: number) => number]>> = {
  box: [0.5, x => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, x => Math.max(0, 1 - Math.abs(x))],
  hamming: [
    1,
    x => {
      const t = Math.abs(x)
      if (t === 0) return 1
      return t >= 1 ? 0 : (Math.sin(t * Math.PI) / (t * Math.PI)) * (0.54 + 0.46 * Math.cos(t * Math.PI))
    },
  ],
  bicubic: [
    2,
    x => {
      const t = Math.abs(x)
      if (t < 1) return (1.5 * t - 2.5) * t * t + 1
      return t < 2 ? (((t - 5) * t + 8) * t - 4) * -0.5 : 0
    },
  ],
  lanczos: [3, x => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
}

const bits = 22

interface Weights {
  /** First place of the input and number of places, per place of the output. */
  from: Int32Array
  count: Int32Array
  /** [out, size] */
  values: Int32Array
  size: number
}

function weightsOf(size: number, out: number, filter: Exclude<Filter, 'nearest'>): Weights {
  const [reach, kernel] = kernels[filter]
  const scale = size / out
  const wide = Math.max(1, scale)
  const support = reach * wide
  const most = Math.ceil(support) * 2 + 1
  const weights = {
    from: new Int32Array(out),
    count: new Int32Array(out),
    values: new Int32Array(out * most),
  }
  const exact = new Float64Array(most)
  for (let i = 0; i < out; i++) {
    const centre = (i + 0.5) * scale
    const from = Math.max(0, Math.trunc(centre - support + 0.5))
    const count = Math.min(size, Math.trunc(centre + support + 0.5)) - from
    let sum = 0
    for (let j = 0; j < count; j++) {
      exact[j] = kernel((j + from - centre + 0.5) * (1 / wide))
      sum += exact[j]!
    }
    for (let j = 0; j < count; j++) {
      const share = (sum === 0 ? exact[j]! : exact[j]! / sum) * 2 ** bits
      weights.values[i * most + j] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5)
    }
    weights.from[i] = from
    weights.count[i] = count
  }
  return { ...weights, size: most }
}

function byte(sum: number): number {
  const value = sum >> bits
  return Math.max(0, Math.min(255, value))
}

// Along an axis of `out` places `step` apart, for `lines` lines of which each has `step` values side by side or one.
function horizontally({ data, width, height, channels }: RawImage, out: number, w: Weights): RawImage {
  const result = new Uint8Array(height * out * channels)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < out; x++) {
      const [from, count] = [w.from[x]!, w.count[x]!]
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (bits - 1)
        let at = (y * width + from) * channels + c
        for (let j = 0; j < count; j++, at += channels) sum += data[at]! * w.values[x * w.size + j]!
        result[(y * out + x) * channels + c] = byte(sum)
      }
    }
  return { data: result, width: out, height, channels }
}

function vertically({ data, width, channels }: RawImage, out: number, w: Weights): RawImage {
  const line = width * channels
  const result = new Uint8Array(out * line)
  const sums = new Int32Array(line)
  for (let y = 0; y < out; y++) {
    sums.fill(1 << (bits - 1))
    for (let j = 0; j < w.count[y]!; j++) {
      const weight = w.values[y * w.size + j]!
      const at = (w.from[y]! + j) * line
      for (let i = 0; i < line; i++) sums[i]! += data[at + i]! * weight
    }
    for (let i = 0; i < line; i++) result[y * line + i] = byte(sums[i]!)
  }
  return { data: result, width, height: out, channels }
}

// Pillow adds steps up, whose rounding decides where a place lies between two.
function nearestPlaces(size: number, out: number): Int32Array {
  const step = size / out
  let at = step * 0.5
  return Int32Array.from({ length: out }, () => {
    const place = Math.min(size - 1, Math.trunc(at))
    at += step
    return place
  })
}

function nearest({ data, width, height, channels }: RawImage, w: number, h: number): RawImage {
  const result = new Uint8Array(w * h * channels)
  const [rows, columns] = [nearestPlaces(height, h), nearestPlaces(width, w)]
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const from = (rows[y]! * width + columns[x]!) * channels
      for (let c = 0; c < channels; c++) result[(y * w + x) * channels + c] = data[from + c]!
    }
  return { data: result, width: w, height: h, channels }
}

/** The image with that many pixels, as Pillow's `Image.resize` makes it: smoothed where it shrinks. */
export function resizeImage(image: RawImage, width: number, height: number, filter: Filter): RawImage {
  if (Math.max(width * image.height, width * height) * image.channels > 2 ** 31)
    throw new VqMemoryError({
      operation: 'resizing an image',
      expected: 'a result of at most 2 GiB',
      received: `${width} × ${height} pixels`,
      remedy: 'Use smaller sizes.',
    })
  if (filter === 'nearest') return nearest(image, width, height)
  const across =
    width === image.width ? image : horizontally(image, width, weightsOf(image.width, width, filter))
  return height === image.height
    ? across
    : vertically(across, height, weightsOf(image.height, height, filter))
}

/** The middle of an image; where the image is smaller, zeros around it. */
export function centreCrop(image: RawImage, width: number, height: number): RawImage {
  const { data, channels } = image
  const result = new Uint8Array(width * height * channels)
  const [top, left] = [offset(image.height, height), offset(image.width, width)]
  for (let y = Math.max(0, -top); y < Math.min(height, image.height - top); y++) {
    const from = Math.max(0, left)
    const to = Math.min(image.width, left + width)
    const row = data.subarray(
      ((y + top) * image.width + from) * channels,
      ((y + top) * image.width + to) * channels,
    )
    result.set(row, (y * width + from - left) * channels)
  }
  return { data: result, width, height, channels }
}

// Of the crop in the image. Where it is larger, transformers pads first, half a pixel rounded up before the image.
function offset(size: number, wanted: number): number {
  const start = Math.floor((size - wanted) / 2)
  if (size >= wanted) return start
  const pad = Math.ceil((wanted - size) / 2)
  return Math.max(0, start + pad) - pad
}
