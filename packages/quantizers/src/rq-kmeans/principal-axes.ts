import { orderedLinear, type Random, symmetricEigen, tf } from '@vq/core'

// Up to this length of a row the axes are exact.
const exact = 256
// Beyond it, as many leading axes are estimated.
const estimated = 128

/**
 * Rows [N, dim] about their mean, by their coordinates [N, count] along the axes of largest variance, in descending order: all
 * `dim` axes of rows up to 256 long; of longer ones the leading 128, estimated from random projections (Halko, Martinsson, Tropp
 * 2011, "Finding structure with randomness", algorithms 4.3 and 5.1, https://arxiv.org/abs/0909.4061). The coordinates are on
 * a scale of their own; equal rows have none at all, count 0.
 */
export function alongPrincipalAxes(
  rows: Float32Array,
  dim: number,
  random: Random,
): { values: Float32Array; count: number } {
  const centred = aboutMean(rows, dim)
  if (!toUnitScale(centred)) return { values: new Float32Array(0), count: 0 }
  const coordinates = tf.tidy(() => {
    const x = tf.tensor2d(centred, [rows.length / dim, dim])
    const axes = dim <= exact ? eigenvectorsOf(gram(x)) : leadingAxes(x, random)
    return orderedLinear(x, axes)
  })
  const values = coordinates.dataSync<'float32'>()
  coordinates.dispose()
  return { values, count: coordinates.shape[1] as number }
}

function aboutMean(rows: Float32Array, dim: number): Float32Array {
  const n = rows.length / dim
  const mean = new Float64Array(dim)
  for (let i = 0, at = 0; i < n; i++) for (let d = 0; d < dim; d++) mean[d] += rows[at++]
  for (let d = 0; d < dim; d++) mean[d] /= n
  const centred = new Float32Array(rows.length)
  for (let i = 0, at = 0; i < n; i++) for (let d = 0; d < dim; d++, at++) centred[at] = rows[at] - mean[d]
  return centred
}

// Divides by a power of 2, which changes no digits, so that squares neither overflow nor vanish; false where all is 0.
function toUnitScale(values: Float32Array): boolean {
  let most = 0
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) > most) most = Math.abs(values[i])
  if (most === 0) return false
  const scale = 2 ** -Math.ceil(Math.log2(most))
  for (let i = 0; i < values.length; i++) values[i] *= scale
  return true
}

/** aᵀ·b, in the same bits on every machine. */
function product(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  return orderedLinear(tf.transpose(a), b) as tf.Tensor2D
}
const gram = (x: tf.Tensor2D): tf.Tensor2D => product(x, x)

/** The eigenvectors of a symmetric matrix as columns, by descending eigenvalue; with `scaled` each divided by its root. */
function eigenvectorsOf(matrix: tf.Tensor2D, scaled = false): tf.Tensor2D {
  const n = matrix.shape[0]
  const { values, vectors } = symmetricEigen(Float64Array.from(matrix.dataSync()), n)
  const kept = scaled ? values.filter(v => v > 1e-7 * values[0]).length : n
  const columns = new Float32Array(n * kept)
  for (let j = 0; j < kept; j++)
    for (let i = 0; i < n; i++)
      columns[i * kept + j] = vectors[j * n + i] / (scaled ? Math.sqrt(values[j]) : 1)
  return tf.tensor2d(columns, [n, kept])
}

/** An orthonormal base [dim, ≤ p] of the span of columns [dim, p]. */
const orthonormal = (columns: tf.Tensor2D): tf.Tensor2D =>
  orderedLinear(columns, eigenvectorsOf(gram(columns), true)) as tf.Tensor2D

function leadingAxes(x: tf.Tensor2D, random: Random): tf.Tensor2D {
  const dim = x.shape[1]
  const directions = random.fillNormal(new Float32Array(dim * estimated))
  let base = tf.tensor2d(directions, [dim, estimated])
  for (let i = 0; i < 2; i++) base = orthonormal(product(x, orderedLinear(x, base) as tf.Tensor2D))
  return orderedLinear(base, eigenvectorsOf(gram(orderedLinear(x, base) as tf.Tensor2D))) as tf.Tensor2D
}
