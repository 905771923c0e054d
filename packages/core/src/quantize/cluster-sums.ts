import { expectInteger, expectShape } from '../check.js'
import { rowsOf, typedArray } from './arrays.js'
import { type CallOptions, callNow } from './call.js'

// Parts of a sum that the native core keeps apart.
const lanes = 32

/**
 * One assignment step of {@link kmeans} over rows that come block by block, so that they need not be in memory together:
 * what the rows of each cluster add up to, in double precision. The blocks in ascending order of rows give the same bits as
 * all rows at once, wherever they are cut.
 *
 * @example
 * const step = new ClusterSums({ k: 256, dim: 64 })
 * for (const block of blocks) step.add(block, centroids)
 * const next = step.means(centroids)
 */
export class ClusterSums {
  readonly k: number
  readonly dim: number
  /** [k, dim], the sum of each cluster's rows. */
  readonly sums: Float64Array
  /** [k], their number. */
  readonly counts: Float64Array
  private readonly lanes: Float64Array
  private readonly options: CallOptions

  /** Throws VqConfigError for numbers below 1. */
  constructor({ k, dim, ...options }: { k: number; dim: number } & Pick<CallOptions, 'threads'>) {
    expectInteger('ClusterSums', 'k', k, 1, 2 ** 31 - 1)
    expectInteger('ClusterSums', 'dim', dim, 1, 2 ** 31 - 1)
    this.k = k
    this.dim = dim
    this.options = options
    this.sums = new Float64Array(k * dim)
    this.counts = new Float64Array(k)
    this.lanes = new Float64Array(k * lanes)
  }

  /**
   * Adds rows [N, dim], each to its nearest centroid ([k, dim]) by the rule of {@link nearest}; returns the assignments [N].
   * Throws VqShapeError, VqConfigError, and VqValueError naming the first row or centroid that is not finite; nothing is
   * added then.
   */
  add(vectors: Float32Array, centroids: Float32Array): Int32Array {
    const { dim, k } = this
    const operation = 'ClusterSums.add'
    const x = typedArray(operation, 'vectors', vectors, 'Float32Array')
    const codes = typedArray(operation, 'centroids', centroids, 'Float32Array')
    expectShape(
      codes.length === k * dim,
      operation,
      `${k} centroids of ${dim} numbers`,
      `${codes.length} numbers`,
      'Pass as many as the sums were made for.',
    )
    const assignments = new Int32Array(rowsOf(operation, 'vectors', x, dim))
    callNow(operation, this.options, (core, threads) =>
      core.kmeansBlock(x, codes, dim, assignments, this.sums, this.lanes, this.counts, threads),
    )
    return assignments
  }

  /** Σ squared distance of the rows to their centroids. */
  get inertia(): number {
    return this.spreads().reduce((a, b) => a + b, 0)
  }

  /** [k], each cluster's part of the inertia. */
  spreads(): Float64Array {
    return Float64Array.from({ length: this.k }, (_, k) => {
      let total = 0
      for (let l = 0; l < lanes / 2; l++)
        total += this.lanes[k * lanes + l] + this.lanes[k * lanes + lanes / 2 + l]
      return total
    })
  }

  /** [k, dim]: the mean of each cluster; the centroid itself where it has no rows. */
  means(centroids: Float32Array): Float32Array {
    return centroids.map((x, i) => {
      const count = this.counts[Math.floor(i / this.dim)]
      return count > 0 ? this.sums[i] / count : x
    })
  }

  /** Back to zeros. */
  reset(): void {
    for (const values of [this.sums, this.counts, this.lanes]) values.fill(0)
  }
}
