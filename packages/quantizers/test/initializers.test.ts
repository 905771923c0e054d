import { nearest, Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import {
  type DataInitializer,
  dataInitializers,
  kmeansInitSync,
  rdGaussianInit,
  VectorQuantizer,
  waterFillingInit,
  waterLevel,
} from '@vq/quantizers'
import { describe, expect, it } from 'vitest'

const K = 256
const D = 8

/** N(μ, diag(λ)) turned by a fixed rotation of neighbouring axes. */
function gaussian(n: number, variances: readonly number[], mean: number, seed: number): Float32Array {
  const random = new Random(seed)
  const dim = variances.length
  const rows = new Float32Array(n * dim)
  for (let i = 0; i < n; i++) {
    const y = variances.map(v => Math.sqrt(v) * random.normal())
    for (let d = 0; d < dim; d++)
      rows[i * dim + d] = mean + 0.8 * y[d] + (d % 2 === 0 ? -0.6 : 0.6) * y[d % 2 === 0 ? d + 1 : d - 1]
  }
  return rows
}

function meanSquare(rows: Float32Array, codebook: Float32Array, dim: number): number {
  const { distances } = nearest(rows, codebook, { dim })
  return distances.reduce((a, b) => a + b, 0) / rows.length
}

describe('starts from data', () => {
  it('water level: rates above it add up, by hand', () => {
    // One bit each above θ = 1 for 4, two bits for 16: three bits together.
    expect(waterLevel([16, 4, 0.5], 3)).toBeCloseTo(1, 12)
    expect(waterLevel([4], 0)).toBeCloseTo(4, 12)
    expect(waterLevel([0, 0], 5)).toBe(0)
    const values = [9, 5, 2, 1, 0.1, 0]
    for (const rate of [0.1, 1, 4, 10, 40]) {
      const level = waterLevel(values, rate)
      const bits = values.reduce((sum, v) => sum + (v > level ? 0.5 * Math.log2(v / level) : 0), 0)
      expect(bits).toBeCloseTo(rate, 9)
    }
  })

  it('rd-gaussian: variance s²(1 − 2^(−2 log2(K)/D)) around the mean', () => {
    const rows = gaussian(4000, new Array(D).fill(4), 3, 1)
    const codes = rdGaussianInit(rows, { numEmbeddings: 4096, embeddingDim: D, random: new Random(2) })
    const mean = codes.reduce((a, b) => a + b, 0) / codes.length
    const variance = codes.reduce((a, b) => a + (b - mean) ** 2, 0) / codes.length
    expect(mean).toBeCloseTo(3, 1)
    expect(variance / (4 * (1 - 2 ** ((-2 * 12) / D)))).toBeCloseTo(1, 1)
  })

  it('water-filling: variances λ − θ along the eigenvectors, none below the water', () => {
    const variances = [25, 9, 4, 1, 0.2, 0.1, 0.01, 0.01]
    const rows = gaussian(20_000, variances, -2, 3)
    const codes = waterFillingInit(rows, { numEmbeddings: 20_000, embeddingDim: D, random: new Random(4) })
    const level = waterLevel(variances, Math.log2(20_000))
    // The total variance is the same on any axes.
    const mean = Array.from(
      { length: D },
      (_, d) => codes.filter((_, i) => i % D === d).reduce((a, b) => a + b, 0) / 20_000,
    )
    const total = codes.reduce((a, x, i) => a + (x - mean[i % D]) ** 2, 0) / 20_000
    expect(total / variances.reduce((a, v) => a + Math.max(0, v - level), 0)).toBeCloseTo(1, 1)
    for (const m of mean) expect(m).toBeCloseTo(-2, 0)
  })

  it('on anisotropic data water-filling beats the isotropic start, and k-means both', () => {
    const rows = gaussian(6000, [64, 16, 4, 1, 0.25, 0.0625, 0.01, 0.01], 0, 5)
    const options = { numEmbeddings: K, embeddingDim: D }
    const isotropic = meanSquare(rows, rdGaussianInit(rows, { ...options, random: new Random(6) }), D)
    const filled = meanSquare(rows, waterFillingInit(rows, { ...options, random: new Random(6) }), D)
    const means = meanSquare(rows, kmeansInitSync(rows, { ...options, random: new Random(6) }), D)
    expect(filled).toBeLessThan(0.5 * isotropic)
    expect(means).toBeLessThan(filled)
  })

  it.each(Object.keys(dataInitializers) as DataInitializer[])(
    '%s: the first batch and `initialize` give the same codes, for every codebook of separate heads',
    async initCodebook => {
      const before = tf.memory().numTensors
      const options = { numEmbeddings: 5, embeddingDim: 2, heads: 2, separateCodebooks: true, initCodebook }
      const z = tf.tensor2d(gaussian(30, [4, 1, 4, 1], 0, 7), [30, 4])
      const [lazy, explicit] = [0, 1].map(() => new VectorQuantizer({ ...options, random: new Random(4) }))
      expect([lazy.ready, explicit.ready]).toEqual([false, false])
      await explicit.initialize(z)
      tf.tidy(() => {
        for (const q of [lazy, explicit]) q.forward(z)
      })
      expect(lazy.stateDict()).toEqual(explicit.stateDict())
      expect(lazy.codebook().shape).toEqual([2, 5, 2])
      lazy.dispose()
      explicit.dispose()
      z.dispose()
      expect(tf.memory().numTensors - before).toBe(1) // the codebook above
    },
  )

  it('too few vectors are a typed error', () => {
    const options = { numEmbeddings: 4, embeddingDim: 2 }
    for (const init of Object.values(dataInitializers))
      expect(() => init(new Float32Array(2), options, { spherical: false })).toThrow(VqConfigError)
  })

  it('an array of codes is taken as it is, and checked', () => {
    const codes = new Random(1).fillNormal(new Float32Array(6))
    const make = (initCodebook: Float32Array): VectorQuantizer =>
      new VectorQuantizer({ numEmbeddings: 3, embeddingDim: 2, initCodebook })
    const q = make(codes)
    expect(q.table.dataSync()).toEqual(codes)
    q.dispose()
    expect(() => make(codes.slice(1))).toThrow(VqShapeError)
    expect(() => make(Float32Array.of(1, 2, 3, 4, 5, Number.NaN))).toThrow(VqValueError)
  })
})
