// Principal axes by iteration of a subspace (Halko, Martinsson and Tropp 2011, https://arxiv.org/abs/0909.4061, algorithm 4.4):
// of features of thousands of channels a few dozen are wanted, and a whole decomposition would take minutes.
import { expectShape, Random, symmetricEigen, tf } from '@vq/core'

export interface PrincipalAxes {
  /** [D] */
  mean: Float32Array
  /** [k, D] row by row, orthonormal, by falling variance. */
  axes: Float32Array
  /** [k], of the rows along each axis. */
  deviations: Float32Array
}

const rounds = 6
const extra = 8

/** The first k principal axes of rows [N, D]. The same for the same rows. Throws VqShapeError for fewer than two rows. */
export function principalAxes(rows: tf.Tensor2D, k: number): PrincipalAxes {
  const [n, dim] = rows.shape
  expectShape(n > 1 && k <= dim, 'principalAxes', `at least two rows of at least ${k}`, `[${n}, ${dim}]`, '')
  const width = Math.min(dim, k + extra)
  let found: PrincipalAxes | undefined
  // Arrays are handed out through a variable: tidy would look for tensors at every number of what is returned.
  tf.tidy(() => {
    const mean = tf.mean(rows, 0) as tf.Tensor1D
    const centred = tf.sub(rows, mean) as tf.Tensor2D
    let basis = orthonormal(new Random(0).fillNormal(new Float32Array(dim * width)), dim, width)
    for (let round = 0; round < rounds; round++) {
      const along = tf.matMul(centred, basis)
      basis = orthonormal(tf.matMul(centred, along, true).dataSync() as Float32Array, dim, width)
    }
    const scores = tf.matMul(centred, basis)
    const small = Float64Array.from(tf.div(tf.matMul(scores, scores, true), n).dataSync())
    const { values, vectors } = symmetricEigen(small, width)
    const turn = tf.tensor2d(Float32Array.from(vectors.subarray(0, k * width)), [k, width])
    found = {
      mean: mean.dataSync().slice() as Float32Array,
      axes: tf.matMul(turn, basis, false, true).dataSync().slice() as Float32Array,
      deviations: Float32Array.from(values.subarray(0, k), v => Math.sqrt(Math.max(0, v))),
    }
  })
  return found as unknown as PrincipalAxes
}

// Gram and Schmidt, each column twice; [D, width] row by row in and out.
function orthonormal(values: Float32Array, dim: number, width: number): tf.Tensor2D {
  const columns = Array.from({ length: width }, (_, c) =>
    Float64Array.from({ length: dim }, (_, d) => values[d * width + c]!),
  )
  for (const [c, own] of columns.entries()) {
    const start = Math.sqrt(dot(own, own))
    for (let pass = 0; pass < 2; pass++)
      for (let before = 0; before < c; before++) {
        const other = columns[before]!
        const along = dot(own, other)
        for (let d = 0; d < dim; d++) own[d]! -= along * other[d]!
      }
    const length = Math.sqrt(dot(own, own))
    // Fewer directions than wanted: the rest stays 0.
    const keep = length > 1e-6 * start && length > 0
    for (let d = 0; d < dim; d++) own[d] = keep ? own[d]! / length : 0
  }
  const out = new Float32Array(dim * width)
  for (let d = 0; d < dim; d++) for (let c = 0; c < width; c++) out[d * width + c] = columns[c]![d]!
  return tf.tensor2d(out, [dim, width])
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let d = 0; d < a.length; d++) sum += a[d]! * b[d]!
  return sum
}
