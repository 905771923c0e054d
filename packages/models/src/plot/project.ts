import { expectConfig, expectInteger, expectShape, symmetricEigen, VqValueError } from '@vq/core'

export interface Projection {
  /** [N, count] */
  points: Float64Array
  /** Share of the variance that each component holds, 0..1. */
  shares: number[]
  /** The same components for other vectors [M, dim]. */
  apply(vectors: Float32Array): Float64Array
}

/**
 * Vectors [N, dim] along their first `count` principal components (Pearson 1901), about their mean. Vectors of at most `count`
 * numbers stay as they are, filled up with zeros.
 */
export function principalComponents(
  operation: string,
  vectors: Float32Array,
  dim: number,
  count: number,
): Projection {
  expectInteger(operation, 'dim', dim, 1, 8192)
  const n = vectors.length / dim
  expectShape(
    vectors instanceof Float32Array && n > 0 && Number.isInteger(n),
    operation,
    `rows of ${dim} numbers in a Float32Array`,
    `${vectors.length} numbers`,
    'Pass [N, dim] row by row, and dim.',
  )
  const bad = vectors.findIndex(v => !Number.isFinite(v))
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: 'finite vectors',
      received: `${vectors[bad]} in row ${Math.floor(bad / dim)}`,
      remedy: 'Leave such rows out.',
    })
  if (dim <= count) return plain(vectors, dim, count)
  const mean = new Float64Array(dim)
  for (let i = 0; i < vectors.length; i++) mean[i % dim] += vectors[i] / n
  const covariance = new Float64Array(dim * dim)
  const row = new Float64Array(dim)
  for (let i = 0; i < n; i++) {
    for (let d = 0; d < dim; d++) row[d] = vectors[i * dim + d] - mean[d]
    for (let a = 0; a < dim; a++)
      for (let b = 0; b <= a; b++) covariance[a * dim + b] += (row[a] * row[b]) / n
  }
  const { values, vectors: axes } = symmetricEigen(covariance, dim)
  const sum = values.reduce((a, b) => a + Math.max(0, b), 0)
  // Equal vectors differ from their mean by rounding.
  const total = sum > 1e-24 * mean.reduce((a, m) => a + m * m, 0) ? sum : 0
  const apply = (other: Float32Array): Float64Array => {
    expectConfig(
      other.length % dim === 0,
      operation,
      `rows of ${dim} numbers`,
      other.length,
      'Pass [M, dim].',
    )
    const out = new Float64Array((other.length / dim) * count)
    for (let i = 0; i < other.length / dim; i++)
      for (let c = 0; c < count; c++)
        for (let d = 0; d < dim; d++) out[i * count + c] += (other[i * dim + d] - mean[d]) * axes[c * dim + d]
    return out
  }
  const shares = Array.from({ length: count }, (_, c) => (total > 0 ? Math.max(0, values[c]) / total : 0))
  const points = apply(vectors)
  // What is left along an axis without variance is rounding.
  for (const [c, share] of shares.entries())
    if (share < 1e-12) for (let i = c; i < points.length; i += count) points[i] = 0
  return { points, shares, apply }
}

function plain(vectors: Float32Array, dim: number, count: number): Projection {
  const apply = (rows: Float32Array): Float64Array =>
    Float64Array.from({ length: (rows.length / dim) * count }, (_, i) =>
      i % count < dim ? rows[Math.floor(i / count) * dim + (i % count)] : 0,
    )
  return { points: apply(vectors), shares: [], apply }
}
