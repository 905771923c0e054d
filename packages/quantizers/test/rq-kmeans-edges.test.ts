import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqConfigError, VqFormatError, VqShapeError } from '@vq/core'
import { loadSafetensors, type StateDict, saveSafetensors } from '@vq/core/io'
import { RQKMeans, type RQKMeansOptions } from '@vq/quantizers'
import { afterAll, describe, expect, it, vi } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

const normal = (n: number, dim: number, scale = 1): Float32Array =>
  new Random(1).fillNormal(new Float32Array(n * dim), 0, scale)
const repeated = (rows: Float32Array, dim: number, n: number): Float32Array =>
  Float32Array.from({ length: n * dim }, (_, i) => rows[i % rows.length])
const heaviest = (codes: ArrayLike<number>): number => {
  const counts = new Map<number, number>()
  for (const c of Array.from(codes)) counts.set(c, (counts.get(c) ?? 0) + 1)
  return Math.max(...counts.values())
}

describe('data that is hardly any', () => {
  for (const dim of [1, 2, 256, 257, 400])
    it(`rows of ${dim}: fewer different ones than codes are met exactly, at every stage`, async () => {
      const options = { nClusters: 8, nStages: 3, dim, maxIter: 5 }
      for (const different of [1, 3]) {
        const rq = await new RQKMeans(options).fit(repeated(normal(different, dim), dim, 40))
        expect(rq.stageErrors).toEqual([0, 0, 0])
      }
    })

  it('a progressive start does not depend on the scale of the rows', async () => {
    for (const dim of [5, 300]) {
      const options: RQKMeansOptions = { nClusters: 8, nStages: 1, dim, maxIter: 3, init: 'progressive' }
      const rows = normal(100, dim)
      const plain = (await new RQKMeans(options).fit(rows)).codebooks[0]
      for (const scale of [2 ** 50, 2 ** -50]) {
        const scaled = await new RQKMeans(options).fit(rows.map(x => x * scale))
        expect(scaled.codebooks[0].map(x => x / scale)).toEqual(plain)
      }
    }
  })

  it('a stage of mini-batches never raises the error, however few rows they saw', async () => {
    for (const randomState of [13, 17, 49, 85]) {
      const options = { nClusters: 1, nStages: 4, dim: 5, maxIter: 2, batchSize: 7, randomState }
      const { stageErrors } = await new RQKMeans(options).fit(normal(200, 5).map(x => x ** 3))
      for (const [s, e] of stageErrors.slice(1).entries())
        expect(e).toBeLessThanOrEqual(stageErrors[s] * (1 + 1e-9))
    }
  })

  it('rows without numbers, and errors of no rows, are refused', async () => {
    await expect(new RQKMeans({ nClusters: 1 }).fit(tf.zeros([5, 0]))).rejects.toThrow(VqShapeError)
    const rq = await new RQKMeans({ nClusters: 2, nStages: 1, dim: 3 }).fit(normal(9, 3))
    expect(rq.getCodes(new Float32Array(0)).length).toBe(0)
    expect(() => rq.calculateReconstructionError(new Float32Array(0))).toThrow(VqShapeError)
    expect(() => new RQKMeans(null as never)).toThrow(VqConfigError)
  })
})

describe('no code holds more than its share', () => {
  it('of whole rows, for shares that are no whole number of them', async () => {
    for (const [nClusters, maxShare, n, most] of [
      [20, 0.07, 100, 7],
      [8, 0.25, 10, 2],
      [3, 1 / 3, 10, 4],
    ]) {
      const options = { nClusters, nStages: 1, dim: 2, maxShare, maxIter: 10 }
      const rows = normal(n, 2).map(x => x ** 5)
      const rq = await new RQKMeans(options).fit(rows)
      expect(heaviest(rq.trainingCodes)).toBeLessThanOrEqual(most)
      expect(heaviest(await rq.getBalancedCodes(rows))).toBeLessThanOrEqual(most)
    }
  })

  it('after a refit as well, which still lowers the error', async () => {
    const options = { nClusters: 8, nStages: 2, dim: 3, maxShare: 0.2 }
    const rows = normal(150, 3).map(x => x ** 3)
    const plain = await new RQKMeans(options).fit(rows)
    const refitted = await new RQKMeans({ ...options, refit: 2 }).fit(rows)
    for (const stage of [0, 1])
      expect(heaviest(refitted.trainingCodes.filter((_, i) => i % 2 === stage))).toBeLessThanOrEqual(30)
    expect(refitted.stageErrors[1]).toBeLessThan(plain.stageErrors[1])
    const back = refitted.reconstructFromCodes(refitted.trainingCodes)
    const error = rows.reduce((sum, x, i) => sum + (x - back[i]) ** 2, 0) / rows.length
    expect(refitted.stageErrors[1]).toBeCloseTo(error, 6)
  })

  it('refuses shares that cannot be', async () => {
    const rq = await new RQKMeans({ nClusters: 4, nStages: 1, dim: 3 }).fit(normal(40, 3))
    for (const maxShare of [Number.NaN, 0, 0.2, 1.5])
      await expect(rq.getBalancedCodes(normal(40, 3), { maxShare })).rejects.toThrow(VqConfigError)
  })

  it('whatever the scale of the rows, at the same error', async () => {
    const options = { nClusters: 8, nStages: 1, dim: 1, maxShare: 0.15, maxIter: 50 }
    const rows = normal(400, 1).map(x => x ** 3)
    const error = (await new RQKMeans(options).fit(rows)).stageErrors[0]
    const small = (await new RQKMeans(options).fit(rows.map(x => x * 2 ** -30))).stageErrors[0]
    expect(small * 2 ** 60).toBeCloseTo(error, 6)
  })

  it('when all rows are one: shared out in order, and stopped by its signal', async () => {
    const rq = await new RQKMeans({ nClusters: 16, nStages: 1, dim: 2 }).fit(normal(300, 2))
    const same = new Float32Array(2 * 40_000).fill(0.1)
    const codes = await rq.getBalancedCodes(same, { maxShare: 1 / 16 })
    expect(heaviest(codes)).toBe(2500)
    // The nearest code takes the last rows, the next ones the rows in their order.
    const [nearest] = rq.getCodes(same.slice(0, 2))
    expect(codes.slice(-2500).every(c => c === nearest)).toBe(true)
    const stop = new AbortController()
    const run = rq.getBalancedCodes(same, { maxShare: 1 / 16, signal: stop.signal })
    setTimeout(() => stop.abort(), 5)
    await expect(run).rejects.toThrow('getBalancedCodes')
  })
})

describe('files', () => {
  it('a fit stopped after any iteration goes on to the same bits', async () => {
    const options = { nClusters: 8, nStages: 3, dim: 3, maxIter: 20, tol: 1e-2 }
    const rows = normal(300, 3).map(x => x ** 3)
    let iterations = 0
    const whole = await new RQKMeans(options).fit(rows, { onProgress: () => iterations++ })
    expect(iterations).toBeGreaterThan(6)
    for (let at = 1; at <= iterations; at++) {
      const checkpoint = join(folder, `after-${at}.safetensors`)
      const stop = new AbortController()
      let seen = 0
      const onProgress = (): void => {
        if (++seen === at) stop.abort()
      }
      const run = new RQKMeans(options).fit(rows, { checkpoint, onProgress, signal: stop.signal })
      await expect(run).rejects.toThrow('RQKMeans.fit')
      const resumed = await new RQKMeans(options).fit(rows, { checkpoint, resume: true })
      expect(resumed.codebooks).toEqual(whole.codebooks)
      expect(resumed.trainingCodes).toEqual(whole.trainingCodes)
    }
  })

  it.skipIf(process.platform === 'win32')(
    'rows on disk have no name, so that a kill leaves none',
    async () => {
      // A temporary folder of its own: other processes may be fitting too.
      const own = join(folder, 'temporary')
      mkdirSync(own)
      vi.stubEnv('TMPDIR', own)
      const seen: string[][] = []
      const dim = 1024 // blocks of 512 rows
      const options = {
        nClusters: 2,
        nStages: 1,
        dim,
        maxIter: 2,
        memoryLimit: 0,
        init: 'k-means++' as const,
      }
      const onProgress = (): unknown => seen.push(readdirSync(own))
      const rows = normal(1100, dim)
      const rq = await new RQKMeans(options).fit(rows, { onProgress })
      expect(seen.length).toBeGreaterThan(0)
      vi.unstubAllEnvs()
      for (const here of seen) expect(here).toEqual([])
      const held = await new RQKMeans({ ...options, memoryLimit: 1e9 }).fit(rows)
      expect(rq.codebooks).toEqual(held.codebooks)
    },
  )

  it('a damaged model or checkpoint is refused, whatever it lacks', async () => {
    const options: RQKMeansOptions = { nClusters: 4, nStages: 2, dim: 3 }
    const rows = normal(30, 3)
    const [model, checkpoint] = ['model', 'checkpoint'].map(name => join(folder, `${name}.safetensors`))
    const rq = await new RQKMeans(options).fit(rows)
    await rq.save(model)
    const stop = new AbortController()
    const onProgress = ({ stage }: { stage: number }): void => {
      if (stage === 1) stop.abort()
    }
    const run = new RQKMeans(options).fit(rows, { checkpoint, onProgress, signal: stop.signal })
    await expect(run).rejects.toThrow()
    const uses = {
      [model]: (file: string) => RQKMeans.load(file),
      [checkpoint]: (file: string) => new RQKMeans(options).fit(rows, { checkpoint: file, resume: true }),
    }
    for (const [file, use] of Object.entries(uses)) {
      const { tensors, metadata } = await loadSafetensors(file)
      const damaged = join(folder, 'damaged.safetensors')
      const refuses = async (state: StateDict, more: Record<string, string> = {}): Promise<void> => {
        await saveSafetensors(damaged, state, { ...metadata, ...more })
        await expect(use(damaged)).rejects.toThrow(VqFormatError)
      }
      for (const [name, tensor] of Object.entries(tensors)) {
        const { [name]: _, ...rest } = tensors
        await refuses(rest)
        const n = tensor.data.length
        await refuses({ ...rest, [name]: { dtype: 'U8', shape: [n], data: new Uint8Array(n) } })
        const bad = tensor.data.slice().fill(-9 as never)
        if (bad instanceof Float32Array) bad[0] = Number.NaN
        await refuses({ ...rest, [name]: { ...tensor, data: bad } })
      }
      const more = JSON.parse(metadata.more)
      for (const key of Object.keys(more))
        await refuses(tensors, { more: JSON.stringify({ ...more, [key]: 'x' }) })
      for (const text of ['null', '[]', '3', '{', '{}']) await refuses(tensors, { more: text })
      await refuses(tensors, { options: 'null' })
    }
  })
})
