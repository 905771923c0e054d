import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { Random, tf, VqConfigError } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import * as quantizers from '@vq/quantizers'
import { type BaseQuantizer, VectorQuantizer, type VectorQuantizerOptions } from '@vq/quantizers'
import { expect, it } from 'vitest'

// Threads run the built package: a worker thread loads what Node itself can load.
const built = existsSync(new URL('../dist/index.js', import.meta.url))
const program = new URL('fixtures/distributed-worker.mjs', import.meta.url)
const [size, steps, n, dim] = [3, 4, 30, 4]

async function together(
  options: object,
  rows: Float32Array,
  more: { type?: string; empty?: number[] } = {},
): Promise<StateDict[]> {
  const workerData = {
    size,
    steps,
    rows,
    options,
    ...more,
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

const kept = (rows: Float32Array): Float32Array => {
  // What the threads 0 and 2 have of each step.
  const each = n / size
  const parts = Array.from({ length: steps }, (_, s) => [0, 2].map(r => (s * size + r) * each * dim))
  return Float32Array.from(parts.flat().flatMap(at => Array.from(rows.subarray(at, at + each * dim))))
}
it.skipIf(!built).each<[string, object]>([
  ['VectorQuantizer', { initCodebook: 'kmeans' }],
  ['ResidualVQ', { numQuantizers: 3, initCodebook: 'kmeans' }],
  ['GroupedResidualVQ', { groups: 2, numQuantizers: 2, dim, embeddingDim: dim / 2 }],
  ['ProductQuantizer', { parts: 2, dim }],
])('%s: a thread whose batches are masked wholly changes nothing, and keeps up', async (type, own) => {
  const options = { numEmbeddings: 5, embeddingDim: dim, decay: 0.7, ...own }
  const rows = new Random(2).fillNormal(new Float32Array(steps * n * dim))
  const [first, ...others] = await together(options, rows, { type, empty: [1] })
  for (const state of others) expect(state).toEqual(first)
  const alone = new (quantizers as unknown as Record<string, new (o: object) => BaseQuantizer>)[type]({
    ...options,
    random: new Random(1),
  })
  const each = (n / size) * 2
  const theirs = kept(rows)
  for (let step = 0; step < steps; step++)
    tf.tidy(() => {
      alone.forward(tf.tensor2d(theirs.slice(step * each * dim, (step + 1) * each * dim), [each, dim]))
    })
  close(first, alone.stateDict())
  alone.dispose()
})

it.skipIf(!built).each<[string, object]>([
  ['VectorQuantizer', { orthogonalWeight: 1, orthogonalMaxCodes: 3, codebookUpdate: 'gradient' }],
  ['ResidualVQ', { numQuantizers: 3, quantizeDropout: 1 }],
])('%s: threads that draw codes keep up with one that has no vectors', async (type, own) => {
  const shared = { initCodebook: 'kmeans', deadCodeThreshold: 1, decay: 0.7, sampleTemperature: 1 }
  const options = { numEmbeddings: 5, embeddingDim: dim, ...shared, ...own }
  const rows = new Random(2).fillNormal(new Float32Array(steps * n * dim))
  const [first, ...others] = await together(options, rows, { type, empty: [1] })
  for (const state of others) expect(state).toEqual(first)
})

it.skipIf(!built)('codes are revived from the threads that have vectors', async () => {
  const options = {
    numEmbeddings: 6,
    embeddingDim: dim,
    initCodebook: Float32Array.from({ length: 6 * dim }, (_, i) => (i < dim ? 0 : 100)),
    deadCodeThreshold: 0.9,
    decay: 0.5,
    revivalInterval: steps,
  }
  const rows = new Random(3).fillNormal(new Float32Array(steps * n * dim))
  const [first, ...others] = await together(options, rows, { empty: [1] })
  for (const state of others) expect(state).toEqual(first)
  const codes = first.codebook.data as Float32Array
  const last = kept(rows).subarray(-(n / size) * 2 * dim)
  for (let k = 1; k < 6; k++)
    expect(
      Array.from({ length: (n / size) * 2 }, (_, i) => last.subarray(i * dim, (i + 1) * dim)).some(r =>
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
