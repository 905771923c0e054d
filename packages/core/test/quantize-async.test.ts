import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import {
  emaUpdate,
  emaUpdateAsync,
  initEmaState,
  kmeans,
  kmeansSync,
  native,
  nearest,
  nearestAsync,
  residualEncode,
  residualEncodeAsync,
  VqConfigError,
  VqValueError,
} from '@vq/core'
import { expect, test } from 'vitest'
import { draw } from './draw.js'

const dim = 16
const x = draw(3000 * dim, 1)
const codes = draw(64 * dim, 2)
const indices = nearest(x, codes, { dim }).indices

/** A copy whose buffer can change its size. */
function resizable(values: Float32Array): Float32Array {
  const Resizable = ArrayBuffer as unknown as new (n: number, o: { maxByteLength: number }) => ArrayBuffer
  const copy = new Float32Array(new Resizable(values.byteLength, { maxByteLength: 2 * values.byteLength }))
  copy.set(values)
  return copy
}
function shared(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
const detach = (a: Float32Array | Int32Array): unknown =>
  structuredClone(a.buffer, { transfer: [a.buffer as ArrayBuffer] })

test('asynchronous calls give what synchronous ones give', async () => {
  expect(await nearestAsync(x, codes, { dim })).toEqual(nearest(x, codes, { dim }))
  expect(await residualEncodeAsync(x, [codes, codes], { dim, beam: 3 })).toEqual(
    residualEncode(x, [codes, codes], { dim, beam: 3 }),
  )
  const [a, b] = [initEmaState(codes, { dim }), initEmaState(codes, { dim })]
  emaUpdate(x, indices, a, { dim })
  await emaUpdateAsync(x, indices, b, { dim })
  expect(b).toEqual(a)
  expect(await kmeans(x, { dim, k: 9, seed: 3 })).toEqual(kmeansSync(x, { dim, k: 9, seed: 3 }))
})

test('errors of asynchronous calls are rejections of the same types', async () => {
  const broken = x.slice()
  broken[50 * dim] = Number.NaN
  await expect(nearestAsync(broken, codes, { dim })).rejects.toThrow(VqValueError)
  await expect(nearestAsync(broken, codes, { dim })).rejects.toThrow('row 50 has no nearest code')
  await expect(kmeans(broken, { dim, k: 3 })).rejects.toThrow('row 50 holds a NaN')
})

test('shared and resizable buffers are read as they are', () => {
  const want = nearest(x, codes, { dim })
  for (const wrap of [resizable, shared]) {
    expect(nearest(wrap(x), wrap(codes), { dim })).toEqual(want)
    const [a, b] = [initEmaState(codes, { dim }), initEmaState(codes, { dim })]
    const c = { codebook: wrap(b.codebook), counts: wrap(b.counts), sums: wrap(b.sums) }
    emaUpdate(x, indices, a, { dim })
    emaUpdate(wrap(x), indices, c, { dim })
    for (const name of ['codebook', 'counts', 'sums'] as const) expect([...c[name]]).toEqual([...a[name]])
  }
})

test('detached buffers and outgrown views are typed errors', () => {
  const gone = x.slice()
  detach(gone)
  expect(() => nearest(gone, codes, { dim })).toThrow(VqValueError)
  expect(() => nearest(x, gone, { dim })).toThrow('transferred')
  const wide = resizable(x)
  const view = new Float32Array(wide.buffer, 0, x.length)
  ;(wide.buffer as unknown as { resize(n: number): void }).resize(8 * dim)
  expect(() => nearest(view, codes, { dim })).toThrow(VqValueError)
  // A view that follows its buffer's length simply has fewer rows now.
  expect(nearest(wide, codes, { dim }).indices).toHaveLength(2)
})

test('buffers may be overwritten, transferred or shrunk while a call on them runs', async () => {
  const want = nearest(x, codes, { dim })
  const [a, b, c] = [x.slice(), codes.slice(), resizable(x)]
  const first = nearestAsync(a, b, { dim })
  a.fill(Number.NaN)
  detach(a)
  detach(b)
  const second = nearestAsync(c, codes, { dim })
  ;(c.buffer as unknown as { resize(n: number): void }).resize(0)
  expect(await first).toEqual(want)
  expect(await second).toEqual(want)

  const state = initEmaState(codes, { dim })
  const update = emaUpdateAsync(x, indices, state, { dim })
  detach(state.sums)
  await expect(update).rejects.toThrow('do not transfer or resize'.replace('do', 'Do'))
})

test('an aborted signal ends a call with an AbortError, before and during it', async () => {
  const before = AbortSignal.abort('no longer needed')
  for (const call of [
    () => nearestAsync(x, codes, { dim, signal: before }),
    () => residualEncodeAsync(x, [codes], { dim, signal: before }),
    () => emaUpdateAsync(x, indices, initEmaState(codes, { dim }), { dim, signal: before }),
    () => kmeans(x, { dim, k: 4, signal: before }),
  ])
    await expect(call()).rejects.toMatchObject({ name: 'AbortError', cause: 'no longer needed' })

  const controller = new AbortController()
  let reports = 0
  const run = kmeans(draw(20000 * dim, 4), {
    dim,
    k: 64,
    iterations: 100_000,
    tolerance: 0,
    signal: controller.signal,
    onProgress: () => {
      if (++reports === 3) controller.abort()
    },
  })
  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
  expect(reports).toBe(3)

  const late = new AbortController()
  const long = nearestAsync(draw(60000 * 64, 5), draw(1024 * 64, 6), {
    dim: 64,
    threads: 1,
    signal: late.signal,
  })
  setImmediate(() => late.abort())
  await expect(long).rejects.toMatchObject({ name: 'AbortError' })
  await expect(nearestAsync(x, codes, { dim, signal: {} as never })).rejects.toThrow(VqConfigError)
})

test('progress reports every assignment in order, before the promise settles', async () => {
  const seen: number[] = []
  const result = await kmeans(x, {
    dim,
    k: 7,
    iterations: 6,
    tolerance: 0,
    onProgress: p => {
      expect(p.iterations).toBe(6)
      seen.push(p.inertia)
    },
  })
  expect(seen).toEqual(result.history)
  const failure = new Error('stop here')
  const failing = kmeans(x, {
    dim,
    k: 7,
    onProgress: () => {
      throw failure
    },
  })
  await expect(failing).rejects.toBe(failure)
})

test('no working memory is left behind', async () => {
  await Promise.all([nearestAsync(x, codes, { dim }), kmeans(x, { dim, k: 5 })])
  const controller = new AbortController()
  const run = kmeans(x, {
    dim,
    k: 50,
    iterations: 1e6,
    tolerance: 0,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  })
  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
  await new Promise(resolve => setTimeout(resolve, 50))
  globalThis.gc?.()
  expect(native().scratchBytes().now).toBeLessThan(2 ** 20)
})

test('worker threads run the same code, and one may be terminated in the middle of a call', async () => {
  const addon = fileURLToPath(new URL('../../../native/build/Release/vq.node', import.meta.url))
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const core = require(process.env.VQ_NATIVE_PATH || workerData.addon)
    const { x, codes, dim } = workerData
    parentPort.postMessage(core.nearest(x, codes, dim, 0, 2, false).indices)
    const options = { dim, k: 64, iterations: 1e9, tolerance: 0, init: 0, start: null, seedLow: 1, seedHigh: 0, spherical: false, weights: null }
    core.kmeans(x, options, 1, true, () => parentPort.postMessage('running'))
    setInterval(() => {}, 1000)`
  const worker = new Worker(source, { eval: true, workerData: { addon, x, codes, dim } })
  const messages: unknown[] = []
  await new Promise<void>((resolve, reject) => {
    worker.on('error', reject)
    worker.on('message', m => {
      messages.push(m)
      if (m === 'running') resolve()
    })
  })
  expect(messages[0]).toEqual(indices)
  await worker.terminate()
})

test('a process outlives workers that alone loaded the core, ended in the middle of calls', () => {
  const addon = fileURLToPath(new URL('../../../native/build/Release/vq.node', import.meta.url))
  const source = `
    const { Worker } = require('node:worker_threads')
    const inside = \`
      const { parentPort, workerData } = require('node:worker_threads')
      const core = require(workerData)
      const x = Float32Array.from({ length: 4000 * 8 }, (_, i) => Math.sin(i * i))
      const options = { dim: 8, k: 64, iterations: 1e9, tolerance: 0, init: 0, start: null, seedLow: 1, seedHigh: 0, spherical: false, weights: null }
      for (let i = 0; i < 8; i++) {
        core.kmeans(x, options, 2, true, () => {}).promise.catch(() => {})
        core.nearest(x, x, 8, 0, 2, true).promise.catch(() => {})
      }
      parentPort.postMessage('running')
    \`
    void (async () => {
      for (let i = 0; i < 4; i++) {
        const worker = new Worker(inside, { eval: true, workerData: process.argv[1] })
        await new Promise(resolve => worker.once('message', resolve))
        await worker.terminate()
      }
      console.log('alive')
    })()`
  const { status, stdout, signal } = spawnSync(
    process.execPath,
    ['-e', source, process.env.VQ_NATIVE_PATH || addon],
    { encoding: 'utf8' },
  )
  expect({ status, signal, stdout }).toEqual({ status: 0, signal: null, stdout: 'alive\n' })
})

test('a signal that is none is a typed error, with a progress callback too', async () => {
  for (const signal of [{}, null] as never[])
    await expect(kmeans(x, { dim, k: 2, signal, onProgress: () => {} })).rejects.toThrow(VqConfigError)
})

test('a callback that aborts ends the call, however late it is heard', async () => {
  const controller = new AbortController()
  const run = kmeans(x, {
    dim,
    k: 2,
    iterations: 1,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  })
  await expect(run).rejects.toMatchObject({ name: 'AbortError' })
})
