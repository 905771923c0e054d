import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kmeansSync, Random, tf, VqConfigError, VqFormatError, VqShapeError, VqValueError } from '@vq/core'
import { loadVecs } from '@vq/core/io'
import { RQKMeans, type RQKMeansOptions } from '@vq/quantizers'
import { afterAll, describe, expect, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [N, dim] = [3000, 5]
const normal = new Random(1).fillNormal(new Float32Array(N * dim))
const sets: Record<string, Float32Array> = {
  cloud: normal,
  clusters: normal.map((x, i) => 0.1 * x + ((Math.floor(i / dim) * 7) % 13) * (i % 3)),
  tails: normal.map(x => x ** 3),
}
const options: RQKMeansOptions = { nClusters: 16, nStages: 3, dim, maxIter: 20, randomState: 4 }

function* blocks(rows: Float32Array, size: number): Generator<Float32Array> {
  for (let at = 0; at < rows.length; at += size * dim) yield rows.slice(at, at + size * dim)
}
const meanSquare = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / a.length

describe('RQKMeans', () => {
  it.each(Object.entries(sets))(
    '%s: stages are k-means of what is left, and the errors its own',
    async (_, rows) => {
      const rq = await new RQKMeans({ ...options, tol: 0, maxIter: 300, nInit: 3 }).fit(rows)
      const left = Float32Array.from(rows)
      const codes = rq.trainingCodes
      for (const [s, book] of rq.codebooks.entries()) {
        // A fixed point of Lloyd's algorithm, and not a bad one.
        const step = kmeansSync(left, { k: 16, dim, init: book, iterations: 1, tolerance: 0 })
        expect(step.centroids).toEqual(book)
        const other = kmeansSync(left, { k: 16, dim, iterations: 300, tolerance: 0 })
        expect(step.inertia).toBeLessThan(1.1 * other.inertia)
        for (let i = 0; i < left.length; i++)
          left[i] -= book[step.assignments[Math.floor(i / dim)] * dim + (i % dim)]
        expect(rq.stageErrors[s]).toBeCloseTo(left.reduce((a, x) => a + x * x, 0) / left.length, 9)
        expect(step.assignments).toEqual(codes.filter((_, i) => i % 3 === s))
      }
      expect(rq.getCodes(rows)).toEqual(rq.trainingCodes)
      expect(rq.calculateReconstructionError(rows)).toBeCloseTo(rq.stageErrors[2], 6)
      expect(meanSquare(rows, rq.transform(rows))).toBeCloseTo(rq.stageErrors[2], 6)
      expect(rq.reconstructFromCodes(rq.trainingCodes)).toEqual(rq.transform(rows))
      for (let s = 1; s < 3; s++) expect(rq.stageErrors[s]).toBeLessThanOrEqual(rq.stageErrors[s - 1])
    },
  )

  it.each([
    [24, 'exact axes', 0.998],
    // As good as k-means++ here, over many seeds.
    [400, 'estimated axes', 1.01],
  ])(
    'a progressive start where variances differ, rows of %i (%s): at most %f of the error of k-means++',
    async (width, _, most) => {
      // Eight independent factors with deviations from 8 down to 1/16, turned into `width` dimensions, and noise.
      const random = new Random(7)
      const turn = random.fillNormal(new Float32Array(8 * width))
      const rows = random.fillNormal(new Float32Array(4000 * width), 0, 0.05)
      for (let i = 0; i < 4000; i++)
        for (let f = 0; f < 8; f++) {
          const x = (random.uniform() - 0.5) * 2 ** (3 - f)
          for (let d = 0; d < width; d++) rows[i * width + d] += x * turn[f * width + d]
        }
      const own = { nClusters: 64, nStages: 2, dim: width, maxIter: 40 }
      const errorOf = async (more: RQKMeansOptions): Promise<number> => {
        let total = 0
        for (const randomState of [0, 1, 2])
          total += (await new RQKMeans({ ...own, ...more, randomState }).fit(rows)).stageErrors[1] / 3
        return total
      }
      const [auto, best, other] = [
        await errorOf({}),
        await errorOf({ init: 'progressive' }),
        await errorOf({ init: 'k-means++' }),
      ]
      expect(best).toBeLessThan(most * other)
      expect(auto).toBeLessThan(most * other)
      const [a, b] = await Promise.all([0, 1].map(() => new RQKMeans(own).fit(rows)))
      expect(a.codebooks).toEqual(b.codebooks)
    },
  )

  it('one row per cluster, equal rows and rows of one number have a start too', async () => {
    const few = await new RQKMeans({ ...options, nClusters: 16, nStages: 1 }).fit(normal.slice(0, 16 * dim))
    expect(few.stageErrors[0]).toBeCloseTo(0, 9)
    const equal = await new RQKMeans({ ...options, nClusters: 4 }).fit(new Float32Array(100 * dim).fill(3))
    expect(equal.stageErrors.at(-1)).toBe(0)
    const line = await new RQKMeans({ ...options, dim: 1 }).fit(normal.slice(0, 1000))
    expect(line.stageErrors[2]).toBeLessThan(1e-5)
  })

  it('blocks of any size, tensors, and rows in a file give the same bits', async () => {
    const whole = await new RQKMeans(options).fit(sets.tails)
    const tensor = tf.tensor2d(sets.tails, [N, dim])
    const { dim: _, ...without } = options
    const sources: [RQKMeansOptions, () => Parameters<RQKMeans['fit']>[0]][] = [
      [options, () => blocks(sets.tails, 1)],
      [options, () => blocks(sets.tails, 700)],
      [{ ...options, memoryLimit: 0 }, () => blocks(sets.tails, 999)],
      [without, () => tensor],
      [
        without,
        async function* () {
          for (const part of blocks(sets.tails, 800)) yield tf.tensor2d(part, [part.length / dim, dim])
        },
      ],
    ]
    for (const [own, source] of sources) {
      const before = readdirSync(tmpdir()).filter(f => f.startsWith('vq-rows-')).length
      const given = source()
      const rq = await new RQKMeans(own).fit(typeof given === 'function' ? (given as () => never)() : given)
      expect(rq.codebooks).toEqual(whole.codebooks)
      expect(rq.trainingCodes).toEqual(whole.trainingCodes)
      expect(readdirSync(tmpdir()).filter(f => f.startsWith('vq-rows-')).length).toBe(before)
    }
    const codes = whole.getCodes(tensor)
    expect([codes.shape, codes.dtype]).toEqual([[N, 3], 'int32'])
    expect(codes.dataSync()).toEqual(whole.trainingCodes)
    const streamed: number[] = []
    for await (const part of whole.encodeBlocks(blocks(sets.tails, 450))) streamed.push(...part)
    expect(streamed).toEqual(Array.from(whole.trainingCodes))
  })

  it('more rows than memory holds go through a file of several blocks, with the same result', async () => {
    const wide = new Random(8).fillNormal(new Float32Array(2200 * 1024))
    const own = { nClusters: 4, nStages: 2, dim: 1024, maxIter: 3 }
    const [all, some] = await Promise.all(
      [2 ** 30, 2 * 2 ** 21].map(memoryLimit => new RQKMeans({ ...own, memoryLimit }).fit(wide)),
    )
    expect(some.codebooks).toEqual(all.codebooks)
    expect(some.stageErrors).toEqual(all.stageErrors)
  })

  it.each(Object.entries(sets))(
    '%s: a wider beam never raises the mean error; the refit lowers it',
    async (_, rows) => {
      const errors: number[] = []
      const file = join(folder, 'beam.safetensors')
      await (await new RQKMeans(options).fit(rows)).save(file)
      for (const beamSize of [1, 2, 4, 16]) {
        const rq = await RQKMeans.load(file)
        Object.assign(rq, { options: { ...rq.options, beamSize } })
        errors.push(rq.calculateReconstructionError(rows))
      }
      for (let i = 1; i < 4; i++) expect(errors[i]).toBeLessThanOrEqual(errors[i - 1])
      const refitted = await new RQKMeans({ ...options, refit: 3, beamSize: 16 }).fit(rows)
      expect(refitted.calculateReconstructionError(rows)).toBeLessThan(errors[3])
      expect(refitted.stageErrors.at(-1)).toBeCloseTo(refitted.calculateReconstructionError(rows), 6)
    },
  )

  it('no code of a balanced stage holds more than its share, at little cost', async () => {
    const cases = [
      [sets.clusters, 0.1],
      [sets.cloud, 1 / 16],
      [sets.tails, 0.15],
    ] as const
    for (const [rows, maxShare] of cases) {
      const free = await new RQKMeans(options).fit(rows)
      const rq = await new RQKMeans({ ...options, maxShare }).fit(rows)
      const most = (codes: Int32Array, s: number): number => {
        const counts = new Array(16).fill(0)
        for (let i = s; i < codes.length; i += 3) counts[codes[i]]++
        return Math.max(...counts)
      }
      for (const s of [0, 1, 2])
        expect(most(rq.trainingCodes, s)).toBeLessThanOrEqual(Math.ceil(maxShare * N))
      expect(most(free.trainingCodes, 0)).toBeGreaterThan(Math.ceil(maxShare * N))
      expect(rq.stageErrors[2]).toBeLessThan(2.5 * free.stageErrors[2])
      // And for rows that were not fitted together.
      const codes = await rq.getBalancedCodes(rows.slice(0, 1000 * dim))
      for (const s of [0, 1, 2]) expect(most(codes, s)).toBeLessThanOrEqual(Math.ceil(maxShare * 1000))
    }
  })

  it('mini-batches come near to all rows', async () => {
    const full = await new RQKMeans(options).fit(sets.cloud)
    const rq = await new RQKMeans({ ...options, batchSize: 256, maxIter: 100 }).fit(sets.cloud)
    expect(rq.stageErrors[2]).toBeLessThan(1.15 * full.stageErrors[2])
    const again = await new RQKMeans({ ...options, batchSize: 256, maxIter: 100 }).fit(
      blocks(sets.cloud, 300),
    )
    expect(again.codebooks).toEqual(rq.codebooks)
  })

  it('of several starts the best counts', async () => {
    const inertias: number[] = []
    const onProgress = ({
      stage,
      attempt,
      inertia,
    }: {
      stage: number
      attempt: number
      inertia: number
    }): void => {
      if (stage === 0) inertias[attempt] = inertia
    }
    const rq = await new RQKMeans({ ...options, nInit: 5 }).fit(sets.clusters, { onProgress })
    expect(inertias.length).toBe(5)
    expect(rq.stageErrors[0]).toBeCloseTo(Math.min(...inertias) / (N * dim), 6)
  })

  it('a fit that was stopped goes on from its checkpoint to the same bits', async () => {
    for (const own of [{}, { nInit: 3 }, { maxShare: 0.1 }, { batchSize: 128 }]) {
      const straight = await new RQKMeans({ ...options, ...own }).fit(sets.tails)
      for (const after of [2, 9, 25]) {
        const checkpoint = join(folder, `checkpoint-${JSON.stringify(own).length}-${after}.safetensors`)
        const stop = new AbortController()
        let seen = 0
        const onProgress = (): void => {
          if (++seen === after) stop.abort()
        }
        const rq = new RQKMeans({ ...options, ...own })
        await expect(rq.fit(sets.tails, { checkpoint, onProgress, signal: stop.signal })).rejects.toThrow(
          'RQKMeans.fit',
        )
        expect(existsSync(checkpoint)).toBe(true)
        const resumed = await new RQKMeans({ ...options, ...own }).fit(sets.tails, {
          checkpoint,
          resume: true,
        })
        expect(resumed.codebooks).toEqual(straight.codebooks)
        expect(resumed.trainingCodes).toEqual(straight.trainingCodes)
        await expect(
          new RQKMeans({ ...options, ...own, tol: 1 }).fit(sets.tails, { checkpoint, resume: true }),
        ).rejects.toThrow(VqConfigError)
      }
    }
  })

  it('saves and loads the same codes; other files are refused', async () => {
    const rq = await new RQKMeans(options).fit(sets.cloud)
    const file = join(folder, 'model.safetensors')
    await rq.save(file)
    const back = await RQKMeans.load(file)
    expect(back.getCodes(sets.cloud)).toEqual(rq.getCodes(sets.cloud))
    expect([back.options, back.stageErrors, back.dim]).toEqual([rq.options, rq.stageErrors, dim])
    await expect(RQKMeans.load(join(folder, 'checkpoint-2-2.safetensors'))).rejects.toThrow(VqFormatError)
  })

  it('as a quantizer of tensors it gives the same codes and rows', async () => {
    const rq = await new RQKMeans({ ...options, beamSize: 4 }).fit(sets.tails)
    const quantizer = rq.toQuantizer()
    tf.tidy(() => {
      const { indices, quantized } = quantizer.forward(tf.tensor2d(sets.tails, [N, dim]))
      expect(indices.dataSync()).toEqual(rq.getCodes(sets.tails))
      expect(quantized.dataSync()).toEqual(rq.transform(sets.tails))
    })
    expect(quantizer.parameterCount()).toBe(0)
    quantizer.dispose()
  })

  it('quality: the numbers of its codes, by hand', async () => {
    const rq = await new RQKMeans(options).fit(sets.clusters)
    const quality = rq.analyzeQuantizationQuality(sets.clusters)
    expect(quality.mse).toBeCloseTo(rq.stageErrors[2], 6)
    expect(quality.stages.map(s => s.mse)).toEqual(rq.stageErrors.map(e => expect.closeTo(e, 6)))
    const codes = rq.getCodes(sets.clusters)
    for (const { stage, perplexity, used, dead } of quality.stages) {
      const counts = new Array(16).fill(0)
      for (let i = stage; i < codes.length; i += 3) counts[codes[i]]++
      const entropy = counts.reduce((h, c) => h - (c > 0 ? (c / N) * Math.log(c / N) : 0), 0)
      expect(perplexity).toBeCloseTo(Math.exp(entropy), 9)
      expect([used, dead]).toEqual([counts.filter(c => c > 0).length, counts.filter(c => c === 0).length])
    }
    expect(quality.bits.nominal).toBe(12)
    expect(rq.getCompressionRatio()).toBe((32 * dim) / 12)
    expect(quality.compression.ratioWithCodebook).toBeCloseTo(
      (32 * dim * N) / (12 * N + 32 * 3 * 16 * dim),
      9,
    )
    const levels = rq.getQuantizationHierarchy(sets.clusters)
    expect(levels.map(l => l.mse)).toEqual(rq.stageErrors.map(e => expect.closeTo(e, 6)))
    expect(levels[2].reconstruction).toEqual(rq.transform(sets.clusters))
    const beside = await rq.compareWithKmeans(sets.clusters)
    expect([beside.plain.clusters, beside.plain.equalBits, beside.residual.bits]).toEqual([750, false, 12])
    const tiny = await new RQKMeans({ ...options, nClusters: 4, nStages: 2 }).fit(sets.clusters)
    const equal = await tiny.compareWithKmeans(sets.clusters)
    expect([equal.plain.bits, equal.plain.equalBits]).toEqual([4, true])
    expect(equal.plain.mse).toBeLessThanOrEqual(equal.residual.mse)
  })

  it('bad input is a typed error that names it', async () => {
    expect(() => new RQKMeans({ nClusters: 0 })).toThrow(VqConfigError)
    expect(() => new RQKMeans({ maxShare: 0.001 })).toThrow(/maxShare/)
    expect(() => new RQKMeans({ maxShare: 0.5, batchSize: 5 })).toThrow(/batchSize/)
    const rq = new RQKMeans(options)
    expect(() => rq.getCodes(sets.cloud)).toThrow(/fit/)
    await expect(rq.fit(sets.cloud.slice(0, 3 * dim))).rejects.toThrow(/at least 16 rows/)
    await expect(rq.fit(sets.cloud.slice(0, 17))).rejects.toThrow(VqShapeError)
    await expect(new RQKMeans({ nClusters: 2 }).fit(sets.cloud)).rejects.toThrow(/dim/)
    await expect(rq.fit([1, 2, 3] as never)).rejects.toThrow(VqConfigError)
    const bad = sets.cloud.slice()
    bad[1234 * dim] = Number.NaN
    await expect(rq.fit(blocks(bad, 100))).rejects.toThrow(VqValueError)
    await expect(rq.fit(blocks(bad, 100))).rejects.toThrow(/row 1234/)
    await expect(rq.fit(sets.cloud, { resume: true })).rejects.toThrow(VqConfigError)
    await rq.fit(sets.cloud)
    expect(() => rq.reconstructFromCodes(Int32Array.of(0, 16, 0))).toThrow(VqValueError)
    expect(() => rq.reconstructFromCodes(Int32Array.of(0, 1))).toThrow(VqShapeError)
    expect(() => rq.transform(new Float32Array(7))).toThrow(VqShapeError)
  })

  const sift = new URL('../../../../shared/data/vectors/bsds_sift_base.fvecs', import.meta.url).pathname
  it.skipIf(!existsSync(sift))(
    'SIFT: residual 4 × 16 reaches the stage errors of scikit-learn (skipped without the data)',
    async () => {
      const { data } = await loadVecs(sift)
      const rq = await new RQKMeans({ nClusters: 16, nStages: 4, dim: 128, nInit: 10 }).fit(
        data as Float32Array,
      )
      for (const [s, error] of [750.2, 626.7, 550.28, 493.58].entries())
        expect(rq.stageErrors[s]).toBeLessThan(error)
    },
  )
})
