import { VqConfigError, VqShapeError } from '@vq/core'
import { loadSafetensors } from '@vq/core/io'
import { type GaussianModel, gaussian, gaussianTheory } from '@vq/models/data'
import { beforeAll, describe, expect, it } from 'vitest'
import { keepsContract } from './data-fixture.js'

type Doubles = Record<string, Float64Array>
let oracle: Doubles
let model: GaussianModel
beforeAll(async () => {
  const path = new URL('../../../test/oracle/gaussian.safetensors', import.meta.url).pathname
  const { tensors } = await loadSafetensors(path)
  oracle = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.data])) as Doubles
  model = {
    samples: Float32Array.from(oracle.samples),
    dim: 12,
    latentDim: 4,
    loading: oracle.loading,
    sourceCovariance: oracle.sourceCovariance,
    sigma: oracle.sigma[0],
  }
})

const close = (actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number): void => {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++)
    expect(Math.abs(actual[i] - expected[i])).toBeLessThanOrEqual(relative * (Math.abs(expected[i]) + 1e-9))
}

describe('gaussianTheory', () => {
  it("agrees with numpy's covariance, eigenvectors, latents, variance and SNR", () => {
    const theory = gaussianTheory(model)
    close(theory.eigenvalues, oracle.eigenvalues, 1e-10)
    const u = theory.principalComponents
    const projector = Array.from({ length: 144 }, (_, at) => {
      const [i, j] = [Math.floor(at / 12), at % 12]
      return [0, 1, 2, 3].reduce((sum, c) => sum + u[i * 4 + c] * u[j * 4 + c], 0)
    })
    for (const [i, p] of projector.entries()) expect(p).toBeCloseTo(oracle.projector[i], 10)
    const sizes = [0, 1, 2, 3].map(c =>
      theory.latents.reduce((sum, z, i) => sum + (i % 4 === c ? Math.abs(z) : 0), 0),
    )
    close(sizes, oracle.latentSizes, 1e-6)
    close([theory.latentVariance, theory.snr], [oracle.latentVariance[0], oracle.snr[0]], 1e-10)
  })

  it('gives the bound of reverse water-filling as bisection does, never above the isotropic one', () => {
    const theory = gaussianTheory(model)
    close(Array.from(oracle.rates, theory.distortionBound), oracle.bounds, 1e-9)
    expect(theory.distortionBound(0)).toBeCloseTo(theory.latentVariance, 10)
    expect(theory.isotropicBound(4)).toBeCloseTo(theory.latentVariance / 4, 10)
    for (const bits of [0, 1, 3, 8, 30])
      expect(theory.distortionBound(bits)).toBeLessThanOrEqual(theory.isotropicBound(bits) * (1 + 1e-12))
  })

  it('refuses sizes that do not fit', () => {
    expect(() => gaussianTheory({ ...model, loading: new Float64Array(3) })).toThrow(VqShapeError)
    expect(() => gaussianTheory({ ...model, latentDim: 13 })).toThrow(VqConfigError)
    expect(() => gaussianTheory(model).distortionBound(-1)).toThrow(VqConfigError)
  })
})

describe('gaussian', () => {
  const small = { dim: 16, latentDim: 3, n: 200, seed: 5 }
  keepsContract('gaussian', { make: () => gaussian(small) })

  it('has the defaults of the research framework', () => {
    const { dim, latentDim, sigma, length, shape } = gaussian({ n: 300 })
    expect([dim, latentDim, sigma, length, ...shape]).toEqual([64, 8, 0.1, 300, 64])
    expect([...gaussian(small).samples]).not.toEqual([...gaussian({ ...small, seed: 6 }).samples])
  })

  it('has an orthonormal loading, and noise of deviation σ around A·Y', () => {
    const { loading, sources, samples } = gaussian({ dim: 20, latentDim: 4, n: 4000, sigma: 0.2 })
    for (let i = 0; i < 4; i++)
      for (let j = 0; j < 4; j++) {
        let dot = 0
        for (let d = 0; d < 20; d++) dot += loading[d * 4 + i] * loading[d * 4 + j]
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 12)
      }
    let square = 0
    for (let n = 0; n < 4000; n++)
      for (let d = 0; d < 20; d++) {
        let x = samples[n * 20 + d]
        for (let i = 0; i < 4; i++) x -= loading[d * 4 + i] * sources[n * 4 + i]
        square += x * x
      }
    // 80,000 draws: standard error 0.0005.
    expect(Math.sqrt(square / 80000)).toBeCloseTo(0.2, 2)
  })

  it('draws sources with the covariance B·Bᵀ + 0.1·I that it names', () => {
    const { sources, sourceCovariance } = gaussian({ dim: 8, latentDim: 3, n: 60000, seed: 2 })
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 3; j++) {
        let sum = 0
        for (let n = 0; n < 60000; n++) sum += sources[n * 3 + i] * sources[n * 3 + j]
        const scale = Math.sqrt(sourceCovariance[i * 4] * sourceCovariance[j * 4])
        // Correlations have a standard error of at most √2/√60,000 = 0.006.
        expect(Math.abs(sum / 60000 - sourceCovariance[i * 3 + j]) / scale).toBeLessThan(0.03)
      }
  })

  it('finds the plane of its sources: latents keep their variance, and little is left beside', () => {
    const data = gaussian({ dim: 64, latentDim: 8, n: 3000 })
    const trace = [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, i) => sum + data.sourceCovariance[i * 9], 0)
    // tr(Σy)/k plus the noise in k of 64 dimensions.
    expect(Math.abs(data.latentVariance / (trace / 8 + 0.01) - 1)).toBeLessThan(0.06)
    expect(data.snr).toBeCloseTo(trace / 64 / 0.01, 8)
    for (const value of data.eigenvalues.subarray(8)) expect(Math.abs(value - 0.01)).toBeLessThan(0.004)
  })

  it('gives latents of different samples to start a codebook from', () => {
    const data = gaussian(small)
    const rows = (values: Float32Array): string[] =>
      Array.from({ length: values.length / 3 }, (_, i) => values.subarray(3 * i, 3 * i + 3).join())
    const batch = rows(data.getInitializationBatch(50))
    expect(new Set(batch).size).toBe(50)
    expect(batch.every(row => rows(data.latents).includes(row))).toBe(true)
    expect(rows(data.getInitializationBatch(50, 1))).not.toEqual(batch)
    expect(() => data.getInitializationBatch(201)).toThrow(VqConfigError)
  })
})
