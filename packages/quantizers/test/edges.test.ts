import { nearestOrthogonal, Random, symmetricEigen, tf, VqConfigError, VqValueError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import {
  GroupedResidualVQ,
  LatentQuantizer,
  LFQ,
  ProductQuantizer,
  RandomProjectionQuantizer,
  ResidualVQ,
  SimVQ,
  VectorQuantizer,
  type VectorQuantizerOptions,
} from '@vq/quantizers'
import { describe, expect, it } from 'vitest'

const normal = (n: number, dim: number): tf.Tensor2D =>
  tf.tensor2d(new Random(2).fillNormal(new Float32Array(n * dim)), [n, dim])

it('runs on vq-cpu', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
})

describe('a start from data', () => {
  for (const initCodebook of ['kmeans', 'rd-gaussian', 'water-filling'] as const)
    it(`${initCodebook}: vectors with NaN are refused by the quantizer's name, and the start still waits`, async () => {
      const z = tf.concat([normal(8, 6), tf.fill([1, 6], Number.NaN)])
      const start = { numEmbeddings: 4, initCodebook, random: new Random(1) }
      const vq = new VectorQuantizer({ ...start, embeddingDim: 6 })
      const rvq = new ResidualVQ({ ...start, embeddingDim: 3, dim: 6, numQuantizers: 2 })
      const [before, unmoved] = [vq.stateDict(), rvq.stateDict()]
      expect(() => vq.forward(z)).toThrow(/VectorQuantizer\.forward.*NaN in row 8/)
      expect(() => rvq.forward(z)).toThrow(/ResidualVQ\.forward.*NaN in row 8/)
      for (const q of [
        vq,
        rvq,
        new ProductQuantizer({ ...start, dim: 6, parts: 2 }),
        new GroupedResidualVQ({ ...start, dim: 6, groups: 2 }),
      ]) {
        const refused = await q.initialize(z).catch(error => error)
        expect(refused).toBeInstanceOf(VqValueError)
        expect(refused.message).toMatch(new RegExp(`${q.constructor.name}\\.initialize.*NaN in row 8`))
        expect(q.ready).toBe(false)
      }
      expect([vq.stateDict(), rvq.stateDict()]).toEqual([before, unmoved])
    })
})

it('decompositions refuse matrices that are not finite', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
    for (const decompose of [symmetricEigen, nearestOrthogonal])
      expect(() => decompose(Float64Array.of(1, 0, bad, 1), 2)).toThrow(VqValueError)
})

it('constructors without options throw typed errors', () => {
  const residual = [ResidualVQ, GroupedResidualVQ]
  const classes = [VectorQuantizer, ProductQuantizer, ...residual, SimVQ, RandomProjectionQuantizer]
  for (const Class of classes)
    expect(() => new (Class as new (options?: unknown) => unknown)()).toThrow(VqConfigError)
})

it('latent quantization: numbers however large become the outermost value on their side', () => {
  const q = new LatentQuantizer({ levels: [3, 4] })
  const large = [1, 2 ** 24, 1e30, 3e38].flatMap(x => [x, -x])
  const { quantized } = q.forward(tf.tensor2d(large, [4, 2]))
  expect(Array.from(quantized.dataSync())).toEqual(large.map(x => 0.5 * Math.sign(x)))
  q.dispose()
})

it('a single code has no cross-entropy, and no gradient of it', () => {
  for (const metric of ['l2', 'cosine'] as const) {
    const q = new VectorQuantizer({ numEmbeddings: 1, embeddingDim: 3, metric, commitment: 'cross-entropy' })
    const z = tf.variable(normal(5, 3))
    const { value, gradients } = valueAndGradients(() => q.forward(z).loss, [z])
    expect(value.dataSync()[0]).toBe(0)
    expect(Array.from((gradients[0] as tf.Tensor).dataSync())).toEqual(new Array(15).fill(0))
    tf.dispose([value, ...(gradients as tf.Tensor[]), z])
    q.dispose()
  }
})

it('the orthogonal loss of very many codes is their float64 sum, and takes no memory of K²', () => {
  const [k, dim] = [3000, 3]
  const codes = new Random(5).fillNormal(new Float32Array(k * dim))
  const options: VectorQuantizerOptions = {
    numEmbeddings: k,
    embeddingDim: dim,
    codebookUpdate: 'gradient',
    orthogonalWeight: 1,
    initCodebook: codes,
  }
  const q = new VectorQuantizer(options)
  q.eval()
  const { value, gradients } = valueAndGradients(
    () => q.forward(tf.zeros([1, dim])).losses.orthogonal,
    [q.table],
  )
  // Float64: the loss and its gradient, 4·(I − êêᵀ)(ÊᵀÊ − I)ê / (K²·‖e‖).
  const norms = Float64Array.from({ length: k }, (_, i) =>
    Math.hypot(...codes.subarray(i * dim, i * dim + dim)),
  )
  const unit = Float64Array.from(codes, (x, i) => x / norms[Math.floor(i / dim)])
  const gram = new Float64Array(dim * dim)
  for (let i = 0; i < k; i++)
    for (let a = 0; a < dim; a++)
      for (let b = 0; b < dim; b++) gram[a * dim + b] += unit[i * dim + a] * unit[i * dim + b]
  const loss = (gram.reduce((sum, g) => sum + g * g, 0) - k) / (k * k)
  expect(value.dataSync()[0]).toBeCloseTo(loss, 5)
  const found = (gradients[0] as tf.Tensor).dataSync()
  for (let i = 0; i < k; i += 97) {
    const e = unit.subarray(i * dim, i * dim + dim)
    const g = Array.from(e, (_, a) => e.reduce((sum, x, b) => sum + gram[a * dim + b] * x, 0) - e[a])
    const along = g.reduce((sum, x, a) => sum + x * e[a], 0)
    for (let a = 0; a < dim; a++)
      expect(found[i * dim + a] * k).toBeCloseTo((4 * (g[a] - along * e[a])) / (k * norms[i]), 4)
  }
  tf.dispose([value, ...(gradients as tf.Tensor[])])
  q.dispose()
  // K² would be 4 TB.
  const many = new VectorQuantizer({ ...options, numEmbeddings: 1 << 20, initCodebook: 'uniform' })
  many.eval()
  const out = many.forward(tf.zeros([1, dim]))
  expect(out.losses.orthogonal.dataSync()[0]).toBeCloseTo(1 / 3, 3)
  many.dispose()
})

it('dropout in groups: what a batch kept decodes to what it became, and all groups count in the perplexity', () => {
  const q = new GroupedResidualVQ({
    dim: 6,
    groups: 2,
    numEmbeddings: 8,
    numQuantizers: 4,
    codebookUpdate: 'gradient',
    quantizeDropout: 1,
    random: new Random(3),
  })
  const z = normal(30, 6)
  const kept = new Set<string>()
  for (let i = 0; i < 12; i++) {
    const { quantized, indices, perplexity } = q.forward(z)
    expect(q.decode(indices).dataSync()).toEqual(quantized.dataSync())
    const codes = indices.dataSync()
    const there = Array.from({ length: 8 }, (_, l) => l).filter(l => codes[l] >= 0)
    kept.add(there.join())
    const perplexities = there.map(l => {
      const counts = new Array(8).fill(0)
      for (let at = l; at < codes.length; at += 8) counts[codes[at]]++
      return Math.exp(counts.reduce((h, c) => h - (c > 0 ? (c / 30) * Math.log(c / 30) : 0), 0))
    })
    const mean = perplexities.reduce((a, b) => a + b) / perplexities.length
    expect(perplexity.dataSync()[0]).toBeCloseTo(mean, 4)
  }
  expect(kept.size).toBeGreaterThan(5)
  const decode =
    (...codes: number[]): (() => unknown) =>
    () =>
      q.decode(tf.tensor2d(codes, [1, 8], 'int32'))
  const none = [-1, -1, -1, -1]
  for (const bad of [
    [0, -1, 1, 1, 0, 0, 0, 0],
    [...none, 1, 1, 1, 1],
    [1, 1, 1, 1, ...none],
  ])
    expect(decode(...bad)).toThrow(VqValueError)
  expect(decode(...none, ...none)).not.toThrow()
  q.dispose()
})

it('revival with a threshold above 1 keeps initial codes that are used', async () => {
  for (const deadCodeThreshold of [1.5, 2, 10])
    for (const codebookUpdate of ['ema', 'gradient'] as const) {
      const q = new VectorQuantizer({
        numEmbeddings: 16,
        embeddingDim: 2,
        codebookUpdate,
        initCodebook: 'kmeans',
        deadCodeThreshold,
        random: new Random(1),
      })
      const z = normal(1024, 2)
      await q.initialize(z)
      const before = q.codebook().dataSync()
      q.forward(z)
      const after = q.codebook().dataSync()
      // By EMA a part of the way to the mean of their rows, which they nearly are; a random row lies further off.
      for (const [i, x] of before.entries()) expect(Math.abs(after[i] - x)).toBeLessThan(0.02)
      q.dispose()
    }
})

it('after fit a product quantizer has counted nothing', async () => {
  for (const rotate of [true, false]) {
    const q = new ProductQuantizer({ dim: 6, parts: 2, numEmbeddings: 4, rotate })
    await q.fit(normal(50, 6))
    expect([q.usage().used, q.parts.usage().used]).toEqual([0, 0])
    q.dispose()
  }
})

it('what is no tensor is refused by name', () => {
  const q = new VectorQuantizer({ numEmbeddings: 4, embeddingDim: 2 })
  expect(() => q.forward([1, 2] as never)).toThrow(/VectorQuantizer\.forward: expected a tensor/)
  expect(() => q.decode([1] as never)).toThrow(/VectorQuantizer\.decode: expected a tensor/)
  expect(() => q.encode(normal(3, 2), { mask: [1, 0, 1] as never })).toThrow(/mask as a tensor/)
  q.dispose()
})

it('on the sphere a row too small for its gradient gets none, and spoils nothing', () => {
  for (const q of [
    new VectorQuantizer({ numEmbeddings: 4, embeddingDim: 3, metric: 'cosine', random: new Random(1) }),
    new LFQ({ codebookSize: 8, spherical: true }),
  ]) {
    const z = tf.variable(tf.mul(normal(2, 3), tf.tensor2d([1e-42, 1e-30], [2, 1])))
    const { value, gradients } = valueAndGradients(() => q.forward(z).loss, [z])
    const g = Array.from((gradients[0] as tf.Tensor).dataSync())
    expect(g.slice(0, 3).every(x => x === 0)).toBe(true)
    expect(g.slice(3).every(x => Number.isFinite(x) && x !== 0)).toBe(true)
    tf.dispose([value, ...(gradients as tf.Tensor[]), z])
    q.dispose()
  }
})
