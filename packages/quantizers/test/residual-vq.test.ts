import { nearest, Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { kmeansInitSync, ResidualVQ, type ResidualVQOptions, uniformInit } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const [N, K, D, Q] = [400, 16, 6, 4]
/** Sets unlike one another: a cloud, clusters, a thin sheet, heavy tails. */
const sets: Record<string, Float32Array> = {
  cloud: new Random(1).fillNormal(new Float32Array(N * D)),
  clusters: new Random(2)
    .fillNormal(new Float32Array(N * D))
    .map((x, i) => 0.1 * x + (Math.floor(i / D) % 7) * (i % 3)),
  sheet: new Random(3).fillNormal(new Float32Array(N * D)).map((x, i) => x * 10 ** -(i % D)),
  tails: new Random(4).fillNormal(new Float32Array(N * D)).map(x => x ** 3),
}

const meanSquare = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / a.length

async function fitted(rows: Float32Array, options: Partial<ResidualVQOptions> = {}): Promise<ResidualVQ> {
  const q = new ResidualVQ({
    numEmbeddings: K,
    embeddingDim: D,
    numQuantizers: Q,
    initCodebook: 'kmeans',
    random: new Random(7),
    ...options,
  })
  const z = tf.tensor2d(rows, [N, D])
  await q.initialize(z)
  z.dispose()
  return q.eval()
}

describe('ResidualVQ', () => {
  it.each(Object.entries(sets))(
    '%s: the k-means start is k-means of what is left, level by level',
    async (_, rows) => {
      const q = await fitted(rows)
      const options = { numEmbeddings: K, embeddingDim: D, random: new Random(7) }
      for (let l = 0; l < Q; l++) uniformInit(options) // what the codes are until there is data
      let rest = Float32Array.from(rows)
      const books = q.codebook()
      for (const book of tf.unstack(books)) {
        const codes = kmeansInitSync(rest, options)
        expect(book.dataSync()).toEqual(codes)
        const { indices } = nearest(rest, codes, { dim: D })
        rest = rest.map((x, i) => x - codes[indices[Math.floor(i / D)] * D + (i % D)])
        book.dispose()
      }
      books.dispose()
      q.dispose()
    },
  )

  it.each(Object.entries(sets))(
    '%s: no further k-means level and no wider beam raises the mean error',
    async (_, rows) => {
      const errors: number[] = []
      for (const numQuantizers of [1, 2, 3, 4]) {
        const q = await fitted(rows, { numQuantizers })
        tf.tidy(() => {
          errors.push(meanSquare(rows, q.forward(tf.tensor2d(rows, [N, D])).quantized.dataSync()))
        })
        q.dispose()
      }
      for (let i = 1; i < 4; i++) expect(errors[i]).toBeLessThanOrEqual(errors[i - 1])
      const beams: number[] = []
      for (const beamSize of [1, 2, 4, 8, 16]) {
        const q = await fitted(rows, { beamSize })
        tf.tidy(() => {
          const { quantized, indices } = q.forward(tf.tensor2d(rows, [N, D]))
          expect(q.decode(indices).dataSync()).toEqual(quantized.dataSync())
          beams.push(meanSquare(rows, quantized.dataSync()))
        })
        q.dispose()
      }
      expect(beams[0]).toBe(errors[3])
      for (let i = 1; i < beams.length; i++) expect(beams[i]).toBeLessThanOrEqual(beams[i - 1])
      expect(beams[4]).toBeLessThan(beams[0])
    },
  )

  it('the first codes decode to the first levels’ sum, as −1 from a level on does', async () => {
    const q = await fitted(sets.cloud)
    tf.tidy(() => {
      const indices = q.encode(tf.tensor3d(sets.cloud, [N / 4, 4, D]))
      for (const kept of [1, 2, 3]) {
        const first = tf.slice(indices, [0, 0, 0], [-1, -1, kept])
        const rest = tf.fill([N / 4, 4, Q - kept], -1, 'int32')
        const decoded = q.decode(first)
        expect(decoded.shape).toEqual([N / 4, 4, D])
        expect(q.decode(tf.concat([first, rest], 2)).dataSync()).toEqual(decoded.dataSync())
        const books = q.codebook().dataSync()
        const codes = first.dataSync()
        const sum = Float32Array.from({ length: N * D }, (_, i) => {
          let s = 0
          for (let l = 0; l < kept; l++)
            s = Math.fround(s + books[(l * K + codes[Math.floor(i / D) * kept + l]) * D + (i % D)])
          return s
        })
        expect(decoded.dataSync()).toEqual(sum)
      }
      expect(() => q.decode(tf.zeros([2, Q + 1], 'int32'))).toThrow(VqShapeError)
      expect(() => q.decode(tf.zeros([2, 0], 'int32'))).toThrow(VqShapeError)
      expect(() => q.decode(tf.tensor2d([[-1, 0, 0, 0]], [1, 4], 'int32'))).toThrow(VqValueError)
    })
    q.dispose()
  })

  it.each<[Partial<ResidualVQOptions>, RegExp]>([
    [{ numQuantizers: 0 }, /numQuantizers/],
    [{ beamSize: 0 }, /beamSize/],
    [{ quantizeDropout: 1.5 }, /quantizeDropout/],
    [{ quantizeDropoutMin: 5 }, /quantizeDropoutMin/],
    [{ estimatorScope: 'all' as never }, /'sum', 'level'/],
    [{ sharedCodebook: 1 as never }, /sharedCodebook/],
    [{ commitment: 'l1' as never }, /'mse', 'cross-entropy'/],
    [{ sampleTemperature: -1 }, /sampleTemperature/],
    [{ sampleTemperature: 1, trainingBeamSize: 2 }, /trainingBeamSize to be 1 with sampleTemperature/],
    [{ orthogonalWeight: 1 }, /orthogonalWeight only with codebookUpdate/],
    [{ orthogonalMaxCodes: 0 }, /orthogonalMaxCodes/],
    [{ diversityTemperature: 0 }, /diversityTemperature/],
    [{ implicitCodebook: {}, sampleTemperature: 1 }, /sampleTemperature to be 0 with implicitCodebook/],
    [{ implicitCodebook: {}, diversityWeight: 1 }, /diversityWeight to be 0 with implicitCodebook/],
    [{ implicitCodebook: {}, orthogonalWeight: 1 }, /orthogonalWeight to be 0 with implicitCodebook/],
    [{ implicitCodebook: {}, commitment: 'cross-entropy' }, /commitment to be 'mse' with implicitCodebook/],
  ])('options are refused: %o', (options, message) => {
    const make = (): ResidualVQ => new ResidualVQ({ numEmbeddings: K, embeddingDim: D, ...options })
    expect(make).toThrow(VqConfigError)
    expect(make).toThrow(message)
  })
})

onBackends(() => {
  it('quantizer dropout keeps 1 to Q levels of a training batch, evenly, and moves those alone', () => {
    const q = new ResidualVQ({
      numEmbeddings: K,
      embeddingDim: D,
      numQuantizers: Q,
      quantizeDropout: 0.8,
      quantizeDropoutMin: 2,
      random: new Random(5),
      initCodebook: ({ random }) => random!.fillNormal(new Float32Array(K * D)),
    })
    const seen = new Map<number, number>()
    tf.tidy(() => {
      const z = tf.tensor2d(sets.cloud.slice(0, 20 * D), [20, D])
      for (let step = 0; step < 150; step++)
        tf.tidy(() => {
          const before = q.stateDict()
          const { indices, quantized } = q.forward(z)
          const codes = indices.dataSync()
          const kept = Array.from(codes.subarray(0, Q)).filter(k => k >= 0).length
          for (let i = 0; i < codes.length; i++) expect(codes[i] >= 0).toBe(i % Q < kept)
          const after = q.stateDict()
          for (let l = 0; l < Q; l++) {
            const same = before[`levels.${l}.counts`].data.every(
              (x, i) => x === after[`levels.${l}.counts`].data[i],
            )
            expect(same).toBe(l >= kept)
          }
          expect(quantized.shape).toEqual([20, D])
          seen.set(kept, (seen.get(kept) ?? 0) + 1)
        })
      const found = q.eval().forward(z).indices.dataSync()
      expect(found.every(k => k >= 0)).toBe(true)
    })
    // 150 batches: 2 and 3 with 0.8/3 each, 4 with 0.2 + 0.8/3.
    expect([...seen.keys()].sort()).toEqual([2, 3, 4])
    expect(Math.abs(seen.get(2)! - 40)).toBeLessThan(25)
    expect(Math.abs(seen.get(4)! - 70)).toBeLessThan(30)
    q.dispose()
  })

  it('gives what each level adds, on request: the codes as they were chosen, masked vectors 0', () => {
    const q = new ResidualVQ({
      numEmbeddings: K,
      embeddingDim: D,
      numQuantizers: Q,
      random: new Random(5),
      initCodebook: ({ random }) => random!.fillNormal(new Float32Array(K * D)),
    })
    tf.tidy(() => {
      const z = tf.tensor2d(sets.cloud.slice(0, 5 * D), [5, D])
      const mask = tf.tensor1d([1, 1, 0, 1, 1], 'int32')
      const books = q.codebook().arraySync() // training moves them afterwards
      const { levels, indices, perplexity } = q.forward(z, { mask, levels: true })
      expect(levels).toHaveLength(Q)
      const codes = indices.arraySync() as number[][]
      for (const [l, { quantized, perplexity }] of levels!.entries()) {
        const wanted = codes.map(c => (c[l]! < 0 ? new Array(D).fill(0) : books[l]![c[l]!]!))
        expect(quantized.arraySync()).toEqual(wanted)
        const times = [0, 1, 3, 4].map(n => codes.filter(c => c[l] === codes[n]![l]).length / 4)
        const entropy = times.reduce((sum, p) => sum - Math.log(p) / 4, 0)
        expect(perplexity.dataSync()[0]).toBeCloseTo(Math.exp(entropy), 5)
      }
      const mean = levels!.reduce((sum, l) => sum + l.perplexity.dataSync()[0]!, 0) / Q
      expect(perplexity.dataSync()[0]).toBeCloseTo(mean, 5)
      expect(q.forward(z)).not.toHaveProperty('levels')
      expect(q.forward(z, { mask: tf.zeros([5], 'int32'), levels: true }).levels).toEqual([])
    })
    q.dispose()
  })
})
