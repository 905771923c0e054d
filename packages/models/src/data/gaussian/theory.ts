// The linear Gaussian model X = A·Y + W and what theory says of it, in float64.
import { covarianceOf, expectInteger, expectNumber, expectShape, symmetricEigen, waterLevel } from '@vq/core'

export interface GaussianModel {
  /** X: [n, dim] row by row. */
  samples: Float32Array
  dim: number
  latentDim: number
  /** A: [dim, latentDim] row by row. */
  loading: Float64Array
  /** Σy: [latentDim, latentDim]. */
  sourceCovariance: Float64Array
  /** Standard deviation of the noise. */
  sigma: number
}

export interface GaussianTheory {
  /** U_k: [dim, latentDim] row by row; column i is the unit eigenvector of the i-th largest eigenvalue of X's covariance. */
  principalComponents: Float64Array
  /** All of X's covariance (centred, divided by n − 1), descending: [dim]. */
  eigenvalues: Float64Array
  /** z = X·U_k, not centred: [n, latentDim] row by row. */
  latents: Float32Array
  /** σz²: the mean variance of a latent dimension, the mean of diag(U_kᵀ·Σx·U_k). */
  latentVariance: number
  /** The mean of diag(A·Σy·Aᵀ), over σ²; infinite without noise. */
  snr: number
  /**
   * The least mean squared error per latent dimension that `bits` bits per vector allow a Gaussian source with these
   * variances: Σ min(θ, λ_i) / latentDim by reverse water-filling (Cover and Thomas, theorem 10.3.3).
   */
  distortionBound(bits: number): number
  /** The same for a source with variance σz² in every dimension: σz²·2^(−2·bits/latentDim) (theorem 10.3.2). */
  isotropicBound(bits: number): number
}

/** What theory says of samples of the model. Throws VqShapeError where sizes do not fit each other, VqConfigError out of range. */
export function gaussianTheory(model: GaussianModel): GaussianTheory {
  const { samples, dim, latentDim: k, loading, sourceCovariance, sigma } = model
  expectInteger('gaussianTheory', 'dim', dim, 1)
  expectInteger('gaussianTheory', 'latentDim', k, 1, dim)
  expectNumber('gaussianTheory', 'sigma', sigma, 0, Number.MAX_VALUE)
  expectShape(
    loading.length === dim * k && sourceCovariance.length === k * k && samples.length >= 2 * dim,
    'gaussianTheory',
    `loading [${dim}, ${k}], sourceCovariance [${k}, ${k}] and at least two samples`,
    `${loading.length}, ${sourceCovariance.length} and ${samples.length} numbers`,
    'Pass all rows behind one another.',
  )
  const { values, vectors } = symmetricEigen(covarianceOf(samples, dim).covariance, dim)
  const components = new Float64Array(dim * k)
  for (let d = 0; d < dim; d++) for (let i = 0; i < k; i++) components[d * k + i] = vectors[i * dim + d]
  const top = values.slice(0, k)
  const latentVariance = top.reduce((sum, v) => sum + v / k, 0)
  const bitsOk = (bits: number): void =>
    expectNumber('gaussianTheory', 'bits', bits, 0, Number.MAX_SAFE_INTEGER)
  return {
    principalComponents: components,
    eigenvalues: values,
    latents: project(samples, components, dim, k),
    latentVariance,
    snr: signalPower(loading, sourceCovariance, dim, k) / sigma ** 2,
    distortionBound: bits => {
      bitsOk(bits)
      const level = waterLevel(top, bits)
      return top.reduce((sum, v) => sum + Math.min(level, Math.max(0, v)) / k, 0)
    },
    isotropicBound: bits => {
      bitsOk(bits)
      return latentVariance * 2 ** ((-2 * bits) / k)
    },
  }
}

function project(samples: Float32Array, components: Float64Array, dim: number, k: number): Float32Array {
  const n = samples.length / dim
  const out = new Float32Array(n * k)
  const row = new Float64Array(k)
  for (let i = 0; i < n; i++) {
    row.fill(0)
    for (let d = 0; d < dim; d++) {
      const x = samples[i * dim + d]
      for (let j = 0; j < k; j++) row[j] += x * components[d * k + j]
    }
    out.set(row, i * k)
  }
  return out
}

// The mean of diag(A·Σy·Aᵀ).
function signalPower(loading: Float64Array, covariance: Float64Array, dim: number, k: number): number {
  let sum = 0
  for (let d = 0; d < dim; d++)
    for (let i = 0; i < k; i++)
      for (let j = 0; j < k; j++) sum += loading[d * k + i] * covariance[i * k + j] * loading[d * k + j]
  return sum / dim
}
