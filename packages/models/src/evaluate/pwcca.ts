import { expectOneOf, expectShape, symmetricEigen, VqMemoryError } from '@vq/core'
import { expectVariation } from './linear-cka.js'
import { centredColumns, dot, type Features, pairedRows } from './rows.js'

/** Features longer than this are refused: the decomposition of [D, D] takes about D³ steps of plain JavaScript. */
const mostDirections = 2048

/** Directions shorter than this part of the longest column are rounding, not features. */
const negligible = 1e-10

export interface PwccaOptions {
  /** Whose features weigh the canonical correlations. Default 'a', which are best the original ones. */
  weightsOf?: 'a' | 'b'
}

/**
 * Projection-weighted canonical correlation of two sets of features of the same N inputs, 0 to 1, 1 where each is a linear
 * map of the other: Σ αᵢ·ρᵢ with αᵢ ∝ Σⱼ |⟨hᵢ, xⱼ⟩|, ρᵢ the canonical correlations, hᵢ the canonical variates of `a` (or
 * `b`) and xⱼ its centred columns. a: [N, D1], b: [N, D2]. It does change when `a` itself is turned, as the
 * weights are sums over its columns. N must exceed the directions of both, and should several times: with fewer rows any
 * features correlate. Where correlations repeat (part of `a` is in `b` as it is), the paper's weights of these are not
 * determined, and the result depends a little on the order of rows and columns.
 *
 * Source: Morcos et al. 2018, "Insights on representational similarity in neural networks with canonical correlation",
 * arXiv 1806.05759, section 2.1. Correlations are the singular values of QaᵀQb, Qa and Qb orthonormal bases of the centred
 * columns (Björck and Golub 1973), so that covariances are never inverted; columns that depend on others are left out.
 *
 * Throws VqConfigError, VqShapeError (lengths; no more rows than directions), VqValueError for numbers that are not finite and rows
 * that are all the same, and VqMemoryError where min(N, D) is over 2048.
 *
 * @example
 * pwcca({ features: original, dim: 64 }, { features: quantized, dim: 64 })
 */
export function pwcca(a: Features, b: Features, options: PwccaOptions = {}): number {
  const { weightsOf = 'a' } = options
  expectOneOf('pwcca', 'weightsOf', weightsOf, ['a', 'b'])
  const both = pairedRows('pwcca', a, b, 2)
  if (weightsOf === 'b') both.reverse()
  const { n } = both[0]
  const [x, y] = both.map(rows => {
    if (Math.min(n, rows.dim) > mostDirections) refuse(n, rows.dim)
    const columns = centredColumns(rows)
    expectVariation('pwcca', rows === both[0] ? weightsOf : weightsOf === 'a' ? 'b' : 'a', columns)
    return { columns, basis: orthonormalBasis(columns.slice(), n) }
  })
  const [rx, ry] = [x.basis.length / n, y.basis.length / n]
  expectShape(
    n > rx + ry || (rx === 1 && ry === 1),
    'pwcca',
    `more rows than the ${rx} + ${ry} directions of both sets`,
    `${n} rows`,
    'Pass several times as many, or project the features on their principal components first.',
  )
  const { correlations, directions } = canonical(x.basis, rx, y.basis, ry, n)
  // ⟨hᵢ, xⱼ⟩ = uᵢᵀ·(Qxᵀ·xⱼ)
  const projected = new Float64Array(rx)
  const alpha = new Float64Array(Math.min(rx, ry))
  for (let at = 0; at < x.columns.length; at += n) {
    for (let r = 0; r < rx; r++) projected[r] = dot(x.basis, r * n, x.columns, at, n)
    for (let i = 0; i < alpha.length; i++) alpha[i] += Math.abs(dot(directions, i * rx, projected, 0, rx))
  }
  const total = alpha.reduce((sum, weight) => sum + weight, 0)
  return alpha.reduce((sum, weight, i) => sum + (weight / total) * correlations[i], 0)
}

// Singular values of M = QxᵀQy, descending, and M's left singular vectors [rx, rx], row by row.
function canonical(
  qx: Float64Array,
  rx: number,
  qy: Float64Array,
  ry: number,
  n: number,
): { correlations: Float64Array; directions: Float64Array } {
  const m = new Float64Array(rx * ry)
  for (let i = 0; i < rx; i++) for (let j = 0; j < ry; j++) m[i * ry + j] = dot(qx, i * n, qy, j * n, n)
  const gram = new Float64Array(rx * rx)
  for (let i = 0; i < rx; i++)
    for (let j = 0; j <= i; j++) gram[i * rx + j] = gram[j * rx + i] = dot(m, i * ry, m, j * ry, ry)
  const { values, vectors } = symmetricEigen(gram, rx)
  return { correlations: values.map(v => Math.sqrt(Math.min(1, Math.max(0, v)))), directions: vectors }
}

// Gram and Schmidt with the longest column next and each made orthogonal twice (Giraud et al. 2005): [rank, n]. Overwrites.
function orthonormalBasis(columns: Float64Array, n: number): Float64Array {
  const dim = columns.length / n
  const norm = (at: number): number => Math.sqrt(dot(columns, at * n, columns, at * n, n))
  const norms = Float64Array.from({ length: dim }, (_, d) => norm(d))
  const least = negligible * norms.reduce((most, v) => Math.max(most, v), 0)
  const basis = new Float64Array(Math.min(n, dim) * n)
  let rank = 0
  for (; rank * n < basis.length; rank++) {
    const next = norms.reduce((best, v, d) => (v > norms[best] ? d : best), 0)
    for (let r = 0; r < rank; r++) subtract(columns, next, basis, r, n)
    const length = norm(next)
    if (length <= least) break
    for (let i = 0; i < n; i++) basis[rank * n + i] = columns[next * n + i] / length
    norms[next] = 0
    for (let d = 0; d < dim; d++) {
      if (norms[d] <= least) continue
      subtract(columns, d, basis, rank, n)
      norms[d] = norm(d)
    }
  }
  return basis.subarray(0, rank * n)
}

// Takes from a column what lies along a direction.
function subtract(columns: Float64Array, d: number, basis: Float64Array, r: number, n: number): void {
  const along = dot(columns, d * n, basis, r * n, n)
  for (let i = 0; i < n; i++) columns[d * n + i] -= along * basis[r * n + i]
}

function refuse(n: number, dim: number): never {
  throw new VqMemoryError({
    operation: 'pwcca',
    expected: `at most ${mostDirections} directions, the smaller of N and D`,
    received: `${n} rows of ${dim} numbers`,
    remedy: 'Project the features on their principal components first.',
  })
}
