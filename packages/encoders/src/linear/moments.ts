import { tf } from '@vq/core'

/**
 * Mean and covariance of rows that come in batches: each batch's are merged in float64, so that no more than one batch is in
 * memory. Source: Chan, Golub, LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
 */
export class Moments {
  count = 0
  readonly mean: Float64Array
  /** [dim, dim], sums of products of deviations from the mean. */
  readonly scatter: Float64Array

  constructor(dim: number) {
    this.mean = new Float64Array(dim)
    this.scatter = new Float64Array(dim * dim)
  }

  /** Rows [n, dim], one after another. */
  add(rows: Float32Array): void {
    const { mean, scatter } = this
    const dim = mean.length
    const n = rows.length / dim
    if (n === 0) return
    const own = new Float64Array(dim)
    for (let i = 0; i < rows.length; i++) own[i % dim]! += rows[i]! / n
    const centred = new Float32Array(rows.length)
    for (let i = 0; i < rows.length; i++) centred[i] = rows[i]! - own[i % dim]!
    const product = tf.tidy(() => {
      const x = tf.tensor2d(centred, [n, dim])
      return tf.matMul(x, x, true)
    })
    const products = product.dataSync()
    product.dispose()
    const share = (this.count * n) / (this.count + n)
    const apart = own.map((m, i) => m - mean[i]!)
    for (let a = 0; a < dim; a++)
      for (let b = 0; b < dim; b++)
        scatter[a * dim + b]! += products[a * dim + b]! + share * apart[a]! * apart[b]!
    this.count += n
    for (let a = 0; a < dim; a++) mean[a]! += (apart[a]! * n) / this.count
  }
}
