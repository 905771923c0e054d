// Small dense decompositions in float64, for rotations and initial codebooks.
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix'
import { expectInteger, expectShape } from './check.js'
import { VqValueError } from './errors.js'

export interface SymmetricEigen {
  /** Descending. */
  values: Float64Array
  /** [n, n] row by row: row i is the unit eigenvector of value i. */
  vectors: Float64Array
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix [n, n] (its lower half counts). The eigenvector's largest element is
 * positive, so that equal matrices give equal vectors. Throws VqShapeError for other lengths, VqValueError for a matrix that is
 * not finite.
 */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  expectSquare('symmetricEigen', matrix, n)
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(rowsOf(matrix, n), {
    assumeSymmetric: true,
  })
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => realEigenvalues[b] - realEigenvalues[a])
  const vectors = new Float64Array(n * n)
  for (const [row, column] of order.entries()) {
    const v = eigenvectorMatrix.getColumn(column)
    const largest = v.reduce((most, x) => (Math.abs(x) > Math.abs(most) + 1e-12 ? x : most), 0)
    for (let i = 0; i < n; i++) vectors[row * n + i] = largest < 0 ? -v[i] : v[i]
  }
  return { values: Float64Array.from(order, i => realEigenvalues[i]), vectors }
}

/**
 * The orthogonal matrix R [n, n] nearest to `matrix`, which maximises tr(Rᵀ·matrix): U·Vᵀ of its singular value
 * decomposition (Schönemann 1966, the orthogonal Procrustes problem). Throws VqShapeError for other lengths, VqValueError for a
 * matrix that is not finite.
 */
export function nearestOrthogonal(matrix: Float64Array, n: number): Float64Array {
  expectSquare('nearestOrthogonal', matrix, n)
  const { leftSingularVectors, rightSingularVectors } = new SingularValueDecomposition(rowsOf(matrix, n))
  return Float64Array.from(leftSingularVectors.mmul(rightSingularVectors.transpose()).to1DArray())
}

export interface Covariance {
  /** [dim] */
  mean: Float64Array
  /** [dim, dim] */
  covariance: Float64Array
}

/** Mean and covariance, divided by N − 1, of rows [N, dim]; all zeros for a single row. Throws VqShapeError for part of a row. */
export function covarianceOf(rows: Float32Array, dim: number): Covariance {
  expectInteger('covarianceOf', 'dim', dim, 1)
  const n = rows.length / dim
  expectShape(
    Number.isInteger(n) && n > 0,
    'covarianceOf',
    `rows of ${dim} numbers, at least one`,
    `${rows.length} numbers`,
    'Pass rows behind one another.',
  )
  const mean = new Float64Array(dim)
  for (let i = 0; i < rows.length; i++) mean[i % dim] += rows[i] / n
  const covariance = new Float64Array(dim * dim)
  const centred = new Float64Array(dim)
  for (let row = 0; row < n; row++) {
    for (let d = 0; d < dim; d++) centred[d] = rows[row * dim + d] - mean[d]
    for (let a = 0; a < dim; a++)
      for (let b = 0; b <= a; b++) covariance[a * dim + b] += centred[a] * centred[b]
  }
  for (let a = 0; a < dim; a++)
    for (let b = 0; b <= a; b++)
      covariance[b * dim + a] = covariance[a * dim + b] = covariance[a * dim + b] / Math.max(1, n - 1)
  return { mean, covariance }
}

function rowsOf(matrix: Float64Array, n: number): Matrix {
  return Matrix.from1DArray(n, n, matrix)
}

function expectSquare(operation: string, matrix: Float64Array, n: number): void {
  expectInteger(operation, 'n', n, 1)
  expectShape(
    matrix.length === n * n,
    operation,
    `${n} × ${n} numbers`,
    `${matrix.length} numbers`,
    'Pass all rows behind one another.',
  )
  const bad = matrix.findIndex(x => !Number.isFinite(x))
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: 'a finite matrix',
      received: `${matrix[bad]} in row ${Math.floor(bad / n)}, column ${bad % n}`,
      remedy: 'Look for NaN, infinity or very large numbers in what it was made of.',
    })
}
