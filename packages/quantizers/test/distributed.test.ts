import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Random, tf, VqConfigError } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import { VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'
import { expect, it } from 'vitest'

// Threads run the built package: a worker thread loads what Node itself can load.
const built = existsSync(new URL('../dist/index.js', import.meta.url))
const program = new URL('fixtures/distributed-worker.mjs', import.meta.url)
const [size, steps, n, dim] = [3, 4, 30, 4]

async function together(options: VectorQuantizerOptions, rows: Float32Array): Promise<StateDict[]> {
  const workerData = {
    size,
    steps,
    rows,
    options,
    shared: new SharedArrayBuffer(1 << 16),
    flags: new SharedArrayBuffer(8),
  }
  return Promise.all(
    Array.from(
      { length: size },
      (_, rank) =>
        new Promise<StateDict>((resolve, reject) => {
          const worker = new Worker(program, { workerData: { ...workerData, rank } })
          worker.once('error', reject)
          worker.once('message', ({ state }) => resolve(state))
        }),
    ),
  )
}

function close(found: StateDict, wanted: StateDict): void {
  expect(Object.keys(found)).toEqual(Object.keys(wanted))
  for (const [name, { data }] of Object.entries(wanted))
    for (const [i, v] of Array.from(data as Float32Array, Number).entries())
      expect(Math.abs(Number(found[name].data[i]) - v), `${name} ${i}`).toBeLessThan(
        1e-5 * Math.max(1, Math.abs(v)),
      )
}

it.skipIf(!built).each<[string, Partial<VectorQuantizerOptions>]>([
  ['EMA', {}],
  ['EMA from a k-means start', { initCodebook: 'kmeans' }],
  ['EMA on the sphere', { metric: 'cosine' }],
])(
  '%s: three threads on a third of each batch end as one thread on all (skipped where nothing is built)',
  async (_, own) => {
    const options = { numEmbeddings: 6, embeddingDim: dim, decay: 0.7, ...own }
    const rows = new Random(2).fillNormal(new Float32Array(steps * n * dim))
    const [first, ...others] = await together(options, rows)
    for (const state of others) expect(state).toEqual(first)
    const alone = new VectorQuantizer({ ...options, random: new Random(1) })
    for (let step = 0; step < steps; step++)
      tf.tidy(() => {
        alone.forward(tf.tensor2d(rows.slice(step * n * dim, (step + 1) * n * dim), [n, dim]))
      })
    close(first, alone.stateDict())
    alone.dispose()
  },
)

it.skipIf(!built)('revived codes are the same everywhere, and rows of some thread', async () => {
  const far = new Float32Array(6 * dim).fill(100)
  far.fill(0, 0, dim)
  const options = {
    numEmbeddings: 6,
    embeddingDim: dim,
    initCodebook: far,
    deadCodeThreshold: 0.9,
    decay: 0.5,
    revivalInterval: steps,
  }
  const rows = new Random(3).fillNormal(new Float32Array(steps * n * dim))
  const [first, ...others] = await together(options, rows)
  for (const state of others) expect(state).toEqual(first)
  const codes = first.codebook.data as Float32Array
  const last = rows.subarray((steps - 1) * n * dim)
  for (let k = 1; k < 6; k++)
    expect(
      Array.from({ length: n }, (_, i) => last.subarray(i * dim, (i + 1) * dim)).some(r =>
        r.every((x, d) => x === codes[k * dim + d]),
      ),
      `code ${k}`,
    ).toBe(true)
})

it('its options are checked', () => {
  const make = (distributed: never): unknown =>
    new VectorQuantizer({ numEmbeddings: 2, embeddingDim: 2, distributed })
  for (const bad of [
    { rank: 2, size: 2, sum: () => {} },
    { rank: 0, size: 1 },
  ])
    expect(() => make(bad as never)).toThrow(VqConfigError)
})
