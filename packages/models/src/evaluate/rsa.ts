import { expectOneOf, VqValueError } from '@vq/core'
import { averageRanks } from './ranks.js'
import { dot, expectPairs, type Features, pairedRows, type Rows, squaredDistance } from './rows.js'

/** The most rows: 5·10⁷ pairs, whose distances, ranks and sorting take 1.2 GB. */
const mostRows = 10_000

export interface RsaOptions {
  /** 'euclidean' (default), or 'correlation': 1 − Pearson's correlation of two rows' numbers. */
  distance?: 'euclidean' | 'correlation'
}

/**
 * Representational similarity analysis of two sets of features of the same N inputs, −1 to 1: Spearman's correlation (ties
 * at their average rank) of the N(N − 1)/2 distances between rows of `a` with those between rows of `b`. a: [N, D1],
 * b: [N, D2].
 *
 * Source: Kriegeskorte et al. 2008, "Representational similarity analysis",
 * https://doi.org/10.3389/neuro.06.004.2008, with the rank correlation recommended there. Up to 10,000 rows: that many take
 * 1.2 GB and about half a minute at 64 numbers each; 2,000 take 48 MB and a second.
 *
 * Throws VqConfigError, VqShapeError (lengths; fewer than three rows), VqMemoryError for more rows, and VqValueError for
 * numbers that are not finite, for distances that are all the same, and, by correlation, for a row of equal numbers.
 *
 * @example
 * rsa({ features: original, dim: 64 }, { features: quantized, dim: 64 }, { distance: 'correlation' })
 */
export function rsa(a: Features, b: Features, options: RsaOptions = {}): number {
  const { distance = 'euclidean' } = options
  expectOneOf('rsa', 'distance', distance, ['euclidean', 'correlation'])
  const [x, y] = pairedRows('rsa', a, b, 3)
  expectPairs('rsa', x.n, mostRows)
  return correlation(ranksOf(x, distance, 'a'), ranksOf(y, distance, 'b'))
}

// Ranks of the condensed distance matrix, less their mean.
function ranksOf(
  { values, n, dim }: Rows,
  distance: 'euclidean' | 'correlation',
  name: string,
): Float64Array {
  const byAngle = distance === 'correlation'
  if (byAngle) standardise(values, dim, name)
  const distances = new Float64Array((n * (n - 1)) / 2)
  let at = 0
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++)
      // Squares have the order of their roots.
      distances[at++] = byAngle
        ? 1 - dot(values, i * dim, values, j * dim, dim)
        : squaredDistance(values, i * dim, values, j * dim, dim)
  averageRanks(distances)
  const mean = (distances.length + 1) / 2
  if (distances.every(rank => rank === mean))
    throw new VqValueError({
      operation: 'rsa',
      expected: `distances in ${name} that differ`,
      received: 'the same distance between all rows',
      remedy: 'The order of distances says nothing there: pass other rows.',
    })
  for (let i = 0; i < distances.length; i++) distances[i] -= mean
  return distances
}

// Rows to mean 0 and length 1, in place.
function standardise(values: Float64Array, dim: number, name: string): void {
  for (let from = 0; from < values.length; from += dim) {
    let mean = 0
    for (let d = 0; d < dim; d++) mean += values[from + d] / dim
    let size = 0
    for (let d = 0; d < dim; d++) size = Math.max(size, Math.abs(values[from + d]))
    for (let d = 0; d < dim; d++) values[from + d] -= mean
    const length = Math.sqrt(dot(values, from, values, from, dim))
    if (length <= 1e-13 * size)
      throw new VqValueError({
        operation: 'rsa',
        expected: `rows of ${name} with different numbers, for their correlation`,
        received: `equal numbers in row ${from / dim}`,
        remedy: "Leave such rows out of both sets, or use distance: 'euclidean'.",
      })
    for (let d = 0; d < dim; d++) values[from + d] /= length
  }
}

function correlation(a: Float64Array, b: Float64Array): number {
  const at = (x: Float64Array, y: Float64Array): number => dot(x, 0, y, 0, x.length)
  const r = at(a, b) / Math.sqrt(at(a, a) * at(b, b))
  return Math.max(-1, Math.min(1, r))
}
