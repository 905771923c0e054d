import { VqValueError } from '@vq/core'
import { centredColumns, dot, type Features, pairedRows, type Rows } from './rows.js'

/**
 * Linear centred kernel alignment of two sets of features of the same N inputs, 0 to 1, 1 where one is the other turned,
 * moved or scaled as a whole: ‖YᵀX‖² / (‖XᵀX‖·‖YᵀY‖) of centred columns, in Frobenius norms. a: [N, D1], b: [N, D2].
 *
 * Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", arXiv 1905.00414, equations 1,
 * 3 and 4. Takes N·D² or N²·D multiplications, whichever are fewer (10,000 × 256: a second or so), and
 * no memory beyond copies of the features, in float64.
 *
 * Throws VqConfigError, VqShapeError (lengths; fewer than two rows), and VqValueError for numbers that are not finite, and
 * for features that are the same in all rows.
 *
 * @example
 * linearCka({ features: original, dim: 64 }, { features: quantized, dim: 64 })
 */
export function linearCka(a: Features, b: Features): number {
  const [x, y] = pairedRows('linearCka', a, b, 2)
  const [xc, yc] = [centredColumns(x), centredColumns(y)]
  expectVariation('linearCka', 'a', xc)
  expectVariation('linearCka', 'b', yc)
  // Scale changes nothing, and keeps fourth powers from overflowing.
  scale(xc)
  scale(yc)
  const { xy, xx, yy } =
    x.dim * y.dim < (x.n * (x.dim + y.dim)) / 2 ? byColumns(xc, yc, x, y) : byRows(xc, yc, x, y)
  return Math.min(1, xy / Math.sqrt(xx * yy))
}

interface Products {
  xy: number
  xx: number
  yy: number
}

// Σ (xᵢ·yⱼ)² over pairs of columns.
function byColumns(xc: Float64Array, yc: Float64Array, x: Rows, y: Rows): Products {
  return {
    xy: squaredProducts(xc, x.dim, yc, y.dim, x.n),
    xx: squaredProducts(xc, x.dim, xc, x.dim, x.n),
    yy: squaredProducts(yc, y.dim, yc, y.dim, x.n),
  }
}

function squaredProducts(a: Float64Array, na: number, b: Float64Array, nb: number, n: number): number {
  let sum = 0
  for (let i = 0; i < na; i++) {
    const same = a === b
    for (let j = same ? i : 0; j < nb; j++) sum += (same && j > i ? 2 : 1) * dot(a, i * n, b, j * n, n) ** 2
  }
  return sum
}

// The same sums as Σ Kᵢⱼ·Lᵢⱼ over pairs of rows (equation 1), for features longer than there are rows.
function byRows(xc: Float64Array, yc: Float64Array, { n, dim: dx }: Rows, { dim: dy }: Rows): Products {
  const [xr, yr] = [transposed(xc, dx, n), transposed(yc, dy, n)]
  const sums = { xy: 0, xx: 0, yy: 0 }
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      const k = dot(xr, i * dx, xr, j * dx, dx)
      const l = dot(yr, i * dy, yr, j * dy, dy)
      const times = i === j ? 1 : 2
      sums.xy += times * k * l
      sums.xx += times * k * k
      sums.yy += times * l * l
    }
  return sums
}

function transposed(columns: Float64Array, dim: number, n: number): Float64Array {
  const rows = new Float64Array(columns.length)
  for (let d = 0; d < dim; d++) for (let i = 0; i < n; i++) rows[i * dim + d] = columns[d * n + i]
  return rows
}

function scale(columns: Float64Array): void {
  const largest = columns.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
  for (let i = 0; i < columns.length; i++) columns[i] /= largest
}

/** Throws VqValueError for centred columns that are all 0. */
export function expectVariation(operation: string, name: string, centred: Float64Array): void {
  if (centred.every(v => v === 0))
    throw new VqValueError({
      operation,
      expected: `rows of ${name} that differ`,
      received: 'the same row everywhere',
      remedy: 'Similarity is not defined there: look for a codebook of which one code alone is chosen.',
    })
}
