import { describe, expectInteger, expectNumber, expectShape } from '@vq/core'
import { expectFinite } from './rows.js'

export interface SsimOptions {
  /** [N, H, W, C] of both arrays, row by row. */
  shape: readonly [number, number, number, number]
  /** Edge of the window in pixels, odd, 3 to the shorter side. Default 7; with Gaussian weights it follows from sigma. */
  windowSize?: number
  /** Weighs the window's pixels by a Gaussian, as the paper does, instead of equally. Default false. */
  gaussianWeights?: boolean
  /** Of the Gaussian, in pixels. Default 1.5. */
  sigma?: number
  /** The Gaussian ends at `truncate · sigma`, rounded. Default 3.5, scikit-image's fixed value: a window of 11. */
  truncate?: number
  /** Difference between the largest and the smallest value there can be. Default 1. */
  dataRange?: number
  /** Default 0.01. */
  K1?: number
  /** Default 0.03. */
  K2?: number
  /** Divides (co)variances by the window's pixels − 1 rather than by their number. Default true. */
  useSampleCovariance?: boolean
}

/**
 * Structural similarity of two batches of images, −1 to 1, 1 where they are equal: the mean over images, channels and all
 * whole windows of
 *
 *     (2·μa·μb + C1)(2·σab + C2) / ((μa² + μb² + C1)(σa² + σb² + C2)),  C1 = (K1·dataRange)², C2 = (K2·dataRange)²
 *
 * Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity",
 * https://doi.org/10.1109/TIP.2003.819861, equation 13. Options and defaults are those of scikit-image's
 * `structural_similarity`; `{ gaussianWeights: true, useSampleCovariance: false }` is the paper's form.
 *
 * Throws VqShapeError for lengths and images smaller than the window, VqConfigError for options out of range, VqValueError
 * for numbers that are not finite.
 *
 * @example
 * ssim(model.decode(codes).dataSync(), images.dataSync(), { shape: [16, 32, 32, 3] })
 */
export function ssim(a: ArrayLike<number>, b: ArrayLike<number>, options: SsimOptions): number {
  const each = ssimOfImages(a, b, options)
  return each.reduce((sum, value) => sum + value, 0) / each.length
}

/** As {@link ssim}, one figure for each image, [N]. */
export function ssimOfImages(a: ArrayLike<number>, b: ArrayLike<number>, options: SsimOptions): Float64Array {
  const [n, h, w, c] = shapeOf(a, b, options?.shape)
  const { dataRange = 1, K1 = 0.01, K2 = 0.03, useSampleCovariance = true } = options
  expectNumber('ssim', 'dataRange', dataRange, Number.MIN_VALUE, Number.MAX_VALUE)
  expectNumber('ssim', 'K1', K1, 0, Number.MAX_VALUE)
  expectNumber('ssim', 'K2', K2, 0, Number.MAX_VALUE)
  const window = windowOf(options, Math.min(h, w))
  const pixels = window.length ** 2
  const covNorm = useSampleCovariance ? pixels / (pixels - 1) : 1
  const [c1, c2] = [(K1 * dataRange) ** 2, (K2 * dataRange) ** 2]
  const [x, y] = [new Float64Array(a), new Float64Array(b)]
  expectFinite('ssim', 'a (images as rows)', x, h * w * c)
  expectFinite('ssim', 'b (images as rows)', y, h * w * c)
  return Float64Array.from({ length: n }, (_, image) => {
    let sum = 0
    for (let channel = 0; channel < c; channel++) {
      const at = image * h * w * c + channel
      const moments = momentsOf(x, y, at, h, w, c).map(map => filtered(map, h, w, window))
      sum += meanSimilarity(moments, covNorm, c1, c2)
    }
    return sum / c
  })
}

// E of x, y, x², y² and xy in each window to the mean of equation 13.
function meanSimilarity(moments: Float64Array[], covNorm: number, c1: number, c2: number): number {
  const [mx, my, mxx, myy, mxy] = moments
  let sum = 0
  for (let i = 0; i < mx.length; i++) {
    const [ux, uy] = [mx[i], my[i]]
    const vx = covNorm * (mxx[i] - ux * ux)
    const vy = covNorm * (myy[i] - uy * uy)
    const vxy = covNorm * (mxy[i] - ux * uy)
    const below = (ux * ux + uy * uy + c1) * (vx + vy + c2)
    // 0 / 0 only where both constants are 0 and both windows are empty of light or structure alike.
    sum += below === 0 ? 1 : ((2 * ux * uy + c1) * (2 * vxy + c2)) / below
  }
  return sum / mx.length
}

// One channel [H, W] of one image pair: x, y, x², y², xy.
function momentsOf(
  x: Float64Array,
  y: Float64Array,
  at: number,
  h: number,
  w: number,
  c: number,
): Float64Array[] {
  const maps = Array.from({ length: 5 }, () => new Float64Array(h * w))
  for (let i = 0; i < h * w; i++) {
    const [p, q] = [x[at + i * c], y[at + i * c]]
    maps[0][i] = p
    maps[1][i] = q
    maps[2][i] = p * p
    maps[3][i] = q * q
    maps[4][i] = p * q
  }
  return maps
}

// The windows that lie wholly inside: [H, W] to [H − size + 1, W − size + 1], along rows, then along columns.
function filtered(map: Float64Array, h: number, w: number, window: Float64Array): Float64Array {
  const size = window.length
  const width = w - size + 1
  const along = new Float64Array(h * width)
  for (let row = 0; row < h; row++)
    for (let k = 0; k < size; k++)
      for (let column = 0; column < width; column++)
        along[row * width + column] += window[k] * map[row * w + column + k]
  const out = new Float64Array((h - size + 1) * width)
  for (let k = 0; k < size; k++)
    for (let i = 0; i < out.length; i++) out[i] += window[k] * along[i + k * width]
  return out
}

// Weights of the window along one axis; they add up to 1.
function windowOf(options: SsimOptions, shortest: number): Float64Array {
  const { gaussianWeights = false, sigma = 1.5, truncate = 3.5 } = options
  if (!gaussianWeights) {
    const { windowSize = 7 } = options
    expectInteger('ssim', 'windowSize', windowSize, 3)
    expectWindow(windowSize, shortest)
    return new Float64Array(windowSize).fill(1 / windowSize)
  }
  expectNumber('ssim', 'sigma', sigma, Number.MIN_VALUE, 1e6)
  expectNumber('ssim', 'truncate', truncate, 0, 1e6)
  const radius = Math.floor(truncate * sigma + 0.5)
  expectInteger('ssim', 'truncate · sigma, rounded,', radius, 1)
  expectWindow(2 * radius + 1, shortest)
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  )
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map(weight => weight / total)
}

function expectWindow(size: number, shortest: number): void {
  expectShape(
    size % 2 === 1 && size <= shortest,
    'ssim',
    'an odd window that is no larger than the images',
    `a window of ${size} and images whose shorter side is ${shortest}`,
    'Pass a smaller windowSize (or sigma), or larger images.',
  )
}

function shapeOf(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  shape: SsimOptions['shape'] | undefined,
): [number, number, number, number] {
  expectShape(
    Array.isArray(shape) && shape.length === 4,
    'ssim',
    'options.shape as [N, H, W, C]',
    describe(shape),
    'Pass the shape of the batch.',
  )
  const [n, h, w, c] = shape as [number, number, number, number]
  for (const size of [n, h, w, c]) expectInteger('ssim', 'each size of shape', size, 1)
  expectShape(
    a?.length === n * h * w * c && b?.length === a.length,
    'ssim',
    `two arrays of ${n} × ${h} × ${w} × ${c} numbers`,
    `lengths ${a?.length} and ${b?.length}`,
    'Pass reconstructions beside the images they came from.',
  )
  return [n, h, w, c]
}
