import { existsSync } from 'node:fs'
import { Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { loadVecs } from '@vq/core/io'
import { kmeansInitSync, ProductQuantizer, VectorQuantizer } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'

const [N, dim] = [1500, 8]
// Neighbouring elements depend on one another, and widths differ: what a rotation can mend.
const rows = ((): Float32Array => {
  const random = new Random(1)
  const x = new Float32Array(N * dim)
  for (let i = 0; i < N; i++) {
    const y = Array.from({ length: dim }, (_, d) => random.normal() * 3 * 0.6 ** d)
    for (let d = 0; d < dim; d++) x[i * dim + d] = 2 + y[d] * 0.8 - y[(d + 1) % dim] * 0.6
  }
  return x
})()

async function fitted(rotate: boolean, seed = 2): Promise<{ pq: ProductQuantizer; error: number }> {
  const pq = new ProductQuantizer({ dim, parts: 4, numEmbeddings: 16, rotate, random: new Random(seed) })
  return { error: await pq.fit(rows), pq: pq.eval() }
}

describe('ProductQuantizer', () => {
  it('fit: each part’s codebook is k-means of that part, and the error is the quantizer’s', async () => {
    const before = tf.memory().numTensors
    const { pq, error } = await fitted(false)
    const random = new Random(2)
    // What the codes are until there is data.
    for (let p = 0; p < 4; p++) random.fillUniform(new Float32Array(16 * 2), -1 / 16, 1 / 16)
    const codes = tf.tidy(() => pq.codebook().dataSync())
    let total = 0
    for (let p = 0; p < 4; p++) {
      const part = Float32Array.from(
        { length: N * 2 },
        (_, i) => rows[Math.floor(i / 2) * dim + p * 2 + (i % 2)],
      )
      const book = kmeansInitSync(part, { numEmbeddings: 16, embeddingDim: 2, random })
      expect(codes.slice(p * 32, (p + 1) * 32)).toEqual(book)
      for (let i = 0; i < N; i++) {
        let best = Infinity
        for (let k = 0; k < 16; k++)
          best = Math.min(best, (part[i * 2] - book[k * 2]) ** 2 + (part[i * 2 + 1] - book[k * 2 + 1]) ** 2)
        total += best
      }
    }
    expect(error).toBeCloseTo(total / (N * dim), 5)
    pq.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })

  it('fit with a rotation: orthogonal, and a smaller error; saved and loaded the same codes', async () => {
    const plain = await fitted(false)
    const { pq, error } = await fitted(true)
    expect(error).toBeLessThan(0.8 * plain.error)
    const r = pq.stateDict().rotation.data as Float32Array
    for (let i = 0; i < dim; i++)
      for (let j = 0; j < dim; j++) {
        let dot = 0
        for (let d = 0; d < dim; d++) dot += r[i * dim + d] * r[j * dim + d]
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 5)
      }
    const copy = new ProductQuantizer({ dim, parts: 4, numEmbeddings: 16, rotate: true }).eval()
    copy.loadStateDict(pq.stateDict())
    tf.tidy(() => {
      const z = tf.tensor2d(rows, [N, dim])
      expect(copy.encode(z).dataSync()).toEqual(pq.encode(z).dataSync())
    })
    for (const q of [pq, copy, plain.pq]) q.dispose()
  })

  it('bad input is a typed error and changes nothing', async () => {
    expect(() => new ProductQuantizer({ dim: 7, parts: 2, numEmbeddings: 4 })).toThrow(VqConfigError)
    const pq = new ProductQuantizer({ dim, parts: 2, numEmbeddings: 4, rotate: true, random: new Random(3) })
    const before = pq.stateDict()
    const nan = rows.slice(0, 10 * dim)
    nan[3 * dim] = Number.NaN
    await expect(pq.fit(nan)).rejects.toThrow(VqValueError)
    await expect(pq.fit(nan)).rejects.toThrow(/row 3/)
    await expect(pq.fit(rows.slice(0, 3 * dim))).rejects.toThrow(VqConfigError)
    await expect(pq.fit(rows.slice(0, 3 * dim + 1))).rejects.toThrow(VqShapeError)
    expect(pq.stateDict()).toEqual(before)
    pq.dispose()
  })

  const sift = new URL('../../../../shared/data/vectors/bsds_sift_base.fvecs', import.meta.url).pathname
  it.skipIf(!existsSync(sift))(
    'SIFT: with equal bits better than k-means of 256 (skipped without the data)',
    async () => {
      const { data } = await loadVecs(sift)
      const few = (data as Float32Array).slice(0, 4000 * 128)
      const errors: number[] = []
      for (const rotate of [false, true]) {
        const pq = new ProductQuantizer({
          dim: 128,
          parts: 8,
          numEmbeddings: 64,
          rotate,
          random: new Random(1),
        })
        errors.push(await pq.fit(few, { rotations: 6 }))
        pq.dispose()
      }
      expect(errors[1]).toBeLessThan(errors[0])
      const vq = new VectorQuantizer({
        numEmbeddings: 256,
        embeddingDim: 128,
        random: new Random(1),
        initCodebook: 'kmeans',
      })
      const x = tf.tensor2d(few, [4000, 128])
      await vq.initialize(x)
      const plain = tf.tidy(() => tf.mean(tf.square(tf.sub(x, vq.decode(vq.encode(x))))).dataSync()[0])
      expect(errors[0]).toBeLessThan(plain)
      vq.dispose()
      x.dispose()
    },
  )
})
