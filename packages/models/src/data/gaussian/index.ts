import { expectConfig, expectInteger, expectNumber, Random } from '@vq/core'
import { ArrayDataset } from '../array-dataset.js'
import type { Dataset } from '../dataset.js'
import { type GaussianTheory, gaussianTheory } from './theory.js'

export { type GaussianModel, type GaussianTheory, gaussianTheory } from './theory.js'

export interface GaussianOptions {
  /** Dimensions of the samples. Default 64. */
  dim?: number
  /** Dimensions of the source. Default 8. */
  latentDim?: number
  /** Standard deviation of the noise. Default 0.1. */
  sigma?: number
  /** How many samples. Default 10,000. */
  n?: number
  /** Default 42. */
  seed?: number
}

/** Samples of the linear Gaussian model with its theory values. */
export interface GaussianDataset extends Dataset, GaussianTheory {
  readonly dim: number
  readonly latentDim: number
  readonly sigma: number
  /** A: [dim, latentDim] row by row, with orthonormal columns. */
  readonly loading: Float64Array
  /** Σy: [latentDim, latentDim]. */
  readonly sourceCovariance: Float64Array
  /** Y: [n, latentDim]. */
  readonly sources: Float32Array
  /** X: [n, dim]. */
  readonly samples: Float32Array
  /** Latents z of `count` samples drawn without replacement, [count, latentDim], to start a codebook from. */
  getInitializationBatch(count: number, seed?: number): Float32Array
}

const mostValues = 2 ** 28

/**
 * X = A·Y + σ·W: A the orthogonal factor of a random [dim, latentDim] matrix, Y ~ N(0, Σy) with Σy = B·Bᵀ + 0.1·I, W and B
 * standard normal. The same options give the same samples. Throws VqConfigError for options out of range.
 */
export function gaussian(options: GaussianOptions = {}): GaussianDataset {
  const { dim = 64, latentDim: k = 8, sigma = 0.1, n = 10_000, seed = 42 } = options
  expectInteger('gaussian', 'dim', dim, 1, 1024)
  expectInteger('gaussian', 'latentDim', k, 1, dim)
  expectNumber('gaussian', 'sigma', sigma, 0, 1e6)
  expectInteger('gaussian', 'n', n, 2, 2 ** 31 - 1)
  expectConfig(
    n * dim <= mostValues,
    'gaussian',
    `at most ${mostValues} values`,
    n * dim,
    'Take fewer samples.',
  )
  const random = new Random(seed)
  const normals = (count: number): Float64Array => Float64Array.from({ length: count }, () => random.normal())
  const loading = orthonormalColumns(normals(dim * k), dim, k)
  const mixing = normals(k * k)
  const sourceCovariance = new Float64Array(k * k)
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) {
      let sum = i === j ? 0.1 : 0
      for (let m = 0; m < k; m++) sum += mixing[i * k + m] * mixing[j * k + m]
      sourceCovariance[i * k + j] = sum
    }

  const sources = new Float32Array(n * k)
  const samples = new Float32Array(n * dim)
  for (let row = 0; row < n; row++) {
    // B·a + √0.1·b has the covariance B·Bᵀ + 0.1·I.
    const [a, b] = [normals(k), normals(k)]
    for (let i = 0; i < k; i++) {
      let y = Math.sqrt(0.1) * b[i]
      for (let m = 0; m < k; m++) y += mixing[i * k + m] * a[m]
      sources[row * k + i] = y
    }
    for (let d = 0; d < dim; d++) {
      let x = sigma * random.normal()
      for (let i = 0; i < k; i++) x += loading[d * k + i] * sources[row * k + i]
      samples[row * dim + d] = x
    }
  }

  const data = new ArrayDataset(samples, [dim])
  const theory = gaussianTheory({ samples, dim, latentDim: k, loading, sourceCovariance, sigma })
  return {
    length: n,
    shape: [dim],
    batch: indices => data.batch(indices),
    ...{ dim, latentDim: k, sigma, loading, sourceCovariance, sources, samples },
    ...theory,
    getInitializationBatch: (count, batchSeed = 0) => {
      expectInteger('getInitializationBatch', 'count', count, 1, n)
      const out = new Float32Array(count * k)
      const order = new Random(batchSeed).permutation(n)
      for (let i = 0; i < count; i++)
        out.set(theory.latents.subarray(order[i] * k, (order[i] + 1) * k), i * k)
      return out
    },
  }
}

// Gram and Schmidt, twice, which is orthogonal to the last bits.
function orthonormalColumns(matrix: Float64Array, dim: number, k: number): Float64Array {
  const q = matrix.slice()
  for (let j = 0; j < k; j++) {
    for (let pass = 0; pass < 2; pass++)
      for (let i = 0; i < j; i++) {
        let dot = 0
        for (let d = 0; d < dim; d++) dot += q[d * k + i] * q[d * k + j]
        for (let d = 0; d < dim; d++) q[d * k + j] -= dot * q[d * k + i]
      }
    let square = 0
    for (let d = 0; d < dim; d++) square += q[d * k + j] ** 2
    for (let d = 0; d < dim; d++) q[d * k + j] /= Math.sqrt(square)
  }
  return q
}
