import { orderedLinear, type Random, symmetricEigen, tf } from '@vq/core'

// Up to this length of a row the axes are exact.
const exact = 256
// Beyond it, as many leading axes are estimated.
const estimated = 128

/**
 * Rows [N, dim] about their mean, by their coordinates [N, count] along the at most `most` axes of largest variance, in
 * descending order; of rows longer than 256 at most 128, estimated from random projections (Halko, Martinsson, Tropp 2011,
 * "Finding structure with randomness", algorithms 4.3 and 5.1, https://arxiv.org/abs/0909.4061). The coordinates are on a scale
 * of their own; rows of zeros have none at all, count 0.
 */
export function alongPrincipalAxes(
  rows: Float32Array,
  dim: number,
  most: number,
  random: Random,
): { values: Float32Array; count: number } {
  const coordinates = tf.tidy(() => {
    const x = most === 0 ? undefined : aboutMean(tf.tensor2d(rows, [rows.length / dim, dim]))
    if (x === undefined) return
    const axes = dim <= exact ? eigenvectorsOf(gram(x)) : leadingAxes(x, random)
    return orderedLinear(x, tf.slice(axes, [0, 0], [-1, Math.min(most, axes.shape[1])]))
  })
  if (coordinates === undefined) return { values: new Float32Array(0), count: 0 }
  const values = coordinates.dataSync<'float32'>()
  coordinates.dispose()
  return { values, count: coordinates.shape[1] as number }
}

// Rows about their mean, times a power of 2, which changes no digits, so that squares neither overflow nor vanish; undefined
// where all is 0.
function aboutMean(rows: tf.Tensor2D): tf.Tensor2D | undefined {
  const [least, largest] = [tf.min(rows), tf.max(rows)].map(t => t.dataSync()[0])
  const most = Math.max(-least, largest)
  if (most === 0) return
  const unit = tf.mul(rows, 2 ** Math.min(127, -Math.ceil(Math.log2(most))))
  return tf.sub(unit, tf.mean(unit, 0))
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
