// Codes drawn from the distribution that a rate-distortion-optimal code of a Gaussian source has: at rate R = log2(K) bits
// per vector a source N(μ, Σ) is best reproduced by vectors of N(μ, Σ − D), D the distortion (Cover and Thomas, Elements of
// Information Theory, section 10.3).
import { covarianceOf, random as globalRandom, symmetricEigen, waterLevel } from '@vq/core'
import { expectVectors } from './expect-vectors.js'
import type { InitializerOptions } from './uniform.js'

/**
 * Theorem 10.3.2 with one variance for all D dimensions: codes ~ N(μ, s²·(1 − 2^(−2R/D))·I), R = log2 K, μ and s² the mean
 * and the mean (unbiased) variance of the vectors, [N, D] row by row. For data as spread in every direction; else
 * {@link waterFillingInit}. Throws VqConfigError for fewer than two vectors.
 */
// #region rd-gaussian
export function rdGaussianInit(vectors: Float32Array, options: InitializerOptions): Float32Array {
  const { numEmbeddings: k, embeddingDim: dim, random = globalRandom } = options
  expectVectors('rate-distortion start of a codebook', vectors, dim, 2)
  const { mean, covariance } = covarianceOf(vectors, dim)
  let variance = 0
  for (let d = 0; d < dim; d++) variance += covariance[d * dim + d] / dim
  const deviation = Math.sqrt(variance * (1 - 2 ** ((-2 * Math.log2(k)) / dim)))
  const codes = random.fillNormal(new Float32Array(k * dim))
  return codes.map((x, i) => mean[i % dim] + deviation * x)
}
// #endregion rd-gaussian

/**
 * Theorem 10.3.3, reverse water-filling: along the eigenvectors of the vectors' covariance, with eigenvalues λ_i, the codes
 * have the variances max(0, λ_i − θ), where the water level θ is such that Σ max(0, ½·log2(λ_i/θ)) = log2 K. vectors: [N, D]
 * row by row. Throws VqConfigError for fewer than two vectors.
 */
export function waterFillingInit(vectors: Float32Array, options: InitializerOptions): Float32Array {
  const { numEmbeddings: k, embeddingDim: dim, random = globalRandom } = options
  expectVectors('water-filling start of a codebook', vectors, dim, 2)
  const { mean, covariance } = covarianceOf(vectors, dim)
  const { values, vectors: axes } = symmetricEigen(covariance, dim)
  const level = waterLevel(values, Math.log2(k))
  const deviations = values.map(v => Math.sqrt(Math.max(0, v - level)))
  const draws = random.fillNormal(new Float32Array(k * dim))
  const codes = new Float32Array(k * dim)
  const code = new Float64Array(dim)
  for (let row = 0; row < k; row++) {
    code.set(mean)
    for (let i = 0; i < dim && deviations[i] > 0; i++) {
      const along = deviations[i] * draws[row * dim + i]
      for (let d = 0; d < dim; d++) code[d] += along * axes[i * dim + d]
    }
    codes.set(code, row * dim)
  }
  return codes
}
