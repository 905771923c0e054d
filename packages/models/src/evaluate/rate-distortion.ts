import { expectInteger, expectShape, VqValueError } from '@vq/core'
import { analyzeCodes } from '@vq/quantizers'
import { wholeCodes } from './codes.js'
import { rowsOf } from './rows.js'

export interface RatePoint {
  /** Rate, in any unit of bits, at least 0: per vector, per pixel. */
  bits: number
  /** Distortion, for instance a mean squared error. */
  error: number
}

export interface RateDistortion<P extends RatePoint = RatePoint> {
  /** All points by bits, those of equal bits by error; otherwise in the order given. */
  curve: P[]
  /**
   * The lower convex hull from the fewest bits to the least error: bits rise, errors fall, and each bit buys less than the
   * one before. Time-sharing between neighbours reaches every point on the lines between.
   */
  hull: P[]
}

/**
 * A rate-distortion curve: the points in order, and those of them that are worth having. Points may be models, levels of
 * residual codes, or both, and keep their other fields. Source: Cover and Thomas 2006, "Elements of information theory",
 * section 10.4 (R(D) is convex and does not rise); hull by Andrew 1979.
 *
 * Throws VqShapeError for no points, VqValueError for bits or errors that are not finite, and for bits below 0.
 *
 * @example
 * rateDistortion(models.map(m => ({ name: m.name, bits: m.bitsPerPixel, error: m.mse }))).hull
 */
export function rateDistortion<P extends RatePoint>(points: readonly P[]): RateDistortion<P> {
  const operation = 'rateDistortion'
  expectShape(
    Array.isArray(points) && points.length > 0,
    operation,
    'at least one point { bits, error }',
    'none',
    'Pass one for each model or level.',
  )
  for (const [i, { bits, error }] of points.entries())
    if (!Number.isFinite(bits) || !Number.isFinite(error) || bits < 0)
      throw new VqValueError({
        operation,
        expected: 'finite bits of at least 0 and finite errors',
        received: `bits ${bits} and error ${error} in point ${i}`,
        remedy: 'Leave this point out.',
      })
  const curve = [...points].sort((p, q) => p.bits - q.bits || p.error - q.error)
  const hull: P[] = []
  for (const point of curve) {
    const last = hull.at(-1)
    if (last !== undefined && point.error >= last.error) continue
    while (hull.length > 1 && !turnsLeft(hull.at(-2)!, hull.at(-1)!, point)) hull.pop()
    if (hull.at(-1)?.bits === point.bits) hull.pop()
    hull.push(point)
  }
  return { curve, hull }
}

function turnsLeft(a: RatePoint, b: RatePoint, c: RatePoint): boolean {
  return (b.bits - a.bits) * (c.error - a.error) - (b.error - a.error) * (c.bits - a.bits) > 0
}

export interface LevelPoint extends RatePoint {
  /** Levels in use, from 1. */
  levels: number
  /** Bits of a vector by the sizes of the codebooks, Σ log2 K; `bits` is the sum of the levels' entropies. */
  nominal: number
}

/**
 * What each further level of residual codes costs and gains: for the first 1, 2, … Q levels the bits of a vector and the
 * mean squared error per number of what these levels add up to. vectors: [N, dim]; codes: [N, Q]; codebooks: Q of [K, dim],
 * all row by row; sums in float64 in the order of the levels. Codes may not be masked. Source: Chen et al. 2010,
 * "Approximate nearest neighbor search by residual vector quantization", https://doi.org/10.3390/s101211259.
 *
 * Throws VqConfigError, VqShapeError, and VqValueError for numbers that are not finite and for codes that no codebook has.
 *
 * @example
 * const { codes } = residualEncode(vectors, codebooks, { dim })
 * rateDistortion(residualRatePoints(vectors, codes, codebooks, { dim })).hull
 */
export function residualRatePoints(
  vectors: ArrayLike<number>,
  codes: ArrayLike<number>,
  codebooks: readonly ArrayLike<number>[],
  options: { dim: number },
): LevelPoint[] {
  const operation = 'residualRatePoints'
  const { dim } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  const { values: residual, n } = rowsOf(operation, 'vectors', { features: vectors, dim })
  const q = codebooks.length
  expectShape(
    q > 0 && codes.length === n * q,
    operation,
    `${q} codes for each of ${n} vectors, at least one codebook`,
    `${codes.length} codes`,
    'Pass codes [N, Q] and Q codebooks; a shared codebook is passed Q times.',
  )
  const whole = wholeCodes(operation, codes)
  const books = codebooks.map((features, level) => rowsOf(operation, `codebook ${level}`, { features, dim }))
  const { levels } = analyzeCodes(whole, { levels: q, codebookSize: books.map(book => book.n) })
  let [bits, nominal] = [0, 0]
  return books.map(({ values, n: size }, level) => {
    let sum = 0
    for (let i = 0; i < n; i++) {
      const code = whole[i * q + level]
      if (code < 0) refuse(operation, code, i)
      for (let d = 0; d < dim; d++) {
        residual[i * dim + d] -= values[code * dim + d]
        sum += residual[i * dim + d] ** 2
      }
    }
    bits += levels[level].entropy
    nominal += Math.log2(size)
    return { levels: level + 1, bits, nominal, error: sum / residual.length }
  })
}

function refuse(operation: string, code: number, vector: number): never {
  throw new VqValueError({
    operation,
    expected: 'a code at every level',
    received: `${code} in vector ${vector}`,
    remedy: 'Leave masked vectors out.',
  })
}
