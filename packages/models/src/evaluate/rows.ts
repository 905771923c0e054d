// Rows of numbers as all comparisons of features take them: checked, in float64.
import { expectInteger, expectShape, VqMemoryError, VqValueError } from '@vq/core'

/** N rows of `dim` numbers, row by row. */
export interface Features {
  /** [N, dim] */
  features: ArrayLike<number>
  dim: number
}

export interface Rows {
  /** [n, dim], a float64 copy. */
  values: Float64Array
  n: number
  dim: number
}

/** Rows as float64. Throws VqConfigError, VqShapeError, and VqValueError that names the first row with a NaN or infinity. */
export function rowsOf(operation: string, name: string, given: Features, least = 1): Rows {
  const { features, dim } = given ?? {}
  expectInteger(operation, `dim of ${name}`, dim, 1)
  const n = (features?.length ?? 0) / dim
  expectShape(
    Number.isInteger(n) && n >= least,
    operation,
    `${name} to be at least ${least} rows of ${dim} numbers`,
    `${features?.length ?? 'no'} numbers`,
    'Pass { features, dim }, the rows behind one another.',
  )
  const values = new Float64Array(features)
  expectFinite(operation, name, values, dim)
  return { values, n, dim }
}

/** Two sets of rows of the same N things. */
export function pairedRows(operation: string, a: Features, b: Features, least: number): [Rows, Rows] {
  const rows: [Rows, Rows] = [rowsOf(operation, 'a', a, least), rowsOf(operation, 'b', b, least)]
  expectShape(
    rows[0].n === rows[1].n,
    operation,
    'as many rows of features in a as in b',
    `${rows[0].n} and ${rows[1].n}`,
    'Row i of both must come from the same input.',
  )
  return rows
}

/** Larger numbers would overflow in sums of squares. */
const largest = 1e140

/** Throws VqValueError that names the first row with a number that is not finite, or over 1e140 in size. */
export function expectFinite(operation: string, name: string, values: Float64Array, dim: number): void {
  for (let i = 0; i < values.length; i++)
    if (!(Math.abs(values[i]) <= largest))
      throw new VqValueError({
        operation,
        expected: `finite numbers in ${name}, of at most 1e140 in size`,
        received: `${values[i]} in row ${Math.floor(i / dim)}`,
        remedy: 'Leave such rows out, or look for a step of training that diverged.',
      })
}

/** Throws VqMemoryError for more rows than all pairs of them are computed for. */
export function expectPairs(operation: string, n: number, most: number): void {
  if (n > most)
    throw new VqMemoryError({
      operation,
      expected: `at most ${most} rows, of which all pairs are computed`,
      received: `${n} rows`,
      remedy: 'Pass a random part of the rows, the same ones of both sets.',
    })
}

/** Σ a·b over `length` numbers, in four partial sums. */
export function dot(a: Float64Array, from: number, b: Float64Array, at: number, length: number): number {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let d = 0
  for (; d + 4 <= length; d += 4) {
    s0 += a[from + d] * b[at + d]
    s1 += a[from + d + 1] * b[at + d + 1]
    s2 += a[from + d + 2] * b[at + d + 2]
    s3 += a[from + d + 3] * b[at + d + 3]
  }
  for (; d < length; d++) s0 += a[from + d] * b[at + d]
  return s0 + s1 + (s2 + s3)
}

/** Σ (a − b)² over `length` numbers: the same bits whichever comes first, and 0 for equal rows. */
export function squaredDistance(
  a: Float64Array,
  from: number,
  b: Float64Array,
  at: number,
  length: number,
): number {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let d = 0
  for (; d + 4 <= length; d += 4) {
    const d0 = a[from + d] - b[at + d]
    const d1 = a[from + d + 1] - b[at + d + 1]
    const d2 = a[from + d + 2] - b[at + d + 2]
    const d3 = a[from + d + 3] - b[at + d + 3]
    s0 += d0 * d0
    s1 += d1 * d1
    s2 += d2 * d2
    s3 += d3 * d3
  }
  for (; d < length; d++) s0 += (a[from + d] - b[at + d]) ** 2
  return s0 + s1 + (s2 + s3)
}

/** Columns behind one another, [dim, n], each less its mean. */
export function centredColumns({ values, n, dim }: Rows): Float64Array {
  const columns = new Float64Array(values.length)
  for (let d = 0; d < dim; d++) {
    let sum = 0
    for (let i = 0; i < n; i++) sum += values[i * dim + d]
    const mean = sum / n
    for (let i = 0; i < n; i++) columns[d * n + i] = values[i * dim + d] - mean
  }
  return columns
}
