// The calls with device: 'cuda', on the device library that emulates its kernels: every result must be the CPU's.
// VQ_TEST_CUDA_PATH names another library, for example that of a GPU.
import {
  DeviceArray,
  device,
  emaUpdate,
  emaUpdateAsync,
  fsqEncodeAsync,
  initEmaState,
  kmeans,
  kmeansSync,
  lfqEncodeAsync,
  nearest,
  nearestAsync,
  residualEncode,
  residualEncodeAsync,
  VqConfigError,
  VqDeviceError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { afterEach, expect, test } from 'vitest'
import { useDeviceLibrary } from './cuda-library.js'
import { draw } from './draw.js'

useDeviceLibrary()
// What a test put on the device is gone after it.
afterEach(() => {
  expect(device.memory().cuda!.buffers).toBe(0)
  expect(device.memory().cuda!.inUse).toBe(0)
})

const dim = 7
const x = draw(90 * dim, 1)
const book = draw(40 * dim, 2)

test('nearest gives the bits of the CPU, whichever of its arrays lives on the device', async () => {
  for (const metric of ['l2', 'cosine', 'dot'] as const) {
    const want = nearest(x, book, { dim, metric })
    expect(nearest(x, book, { dim, metric, device: 'cuda' })).toEqual(want)
    expect(await nearestAsync(x, book, { dim, metric, device: 'cuda' })).toEqual(want)
    const resident = DeviceArray.upload(book)
    expect(nearest(x, resident, { dim, metric })).toEqual(want)
    const rows = DeviceArray.upload(x)
    for (const found of [
      nearest(rows, resident, { dim, metric }),
      await nearestAsync(rows, book, { dim, metric }),
    ]) {
      expect(found.indices.read()).toEqual(want.indices)
      expect(found.distances.read()).toEqual(want.distances)
      found.indices.dispose()
      found.distances.dispose()
    }
    rows.dispose()
    resident.dispose()
  }
})

test('residualEncode gives the bits of the CPU, by beam too', async () => {
  const books = [book, draw(5 * dim, 3), draw(30 * dim, 4)]
  const want = residualEncode(x, books, { dim })
  expect(residualEncode(x, books, { dim, device: 'cuda' })).toEqual(want)
  const rows = DeviceArray.upload(x)
  const found = await residualEncodeAsync(rows, [books[0], DeviceArray.upload(books[1]), books[2]], { dim })
  expect(found.codes.read()).toEqual(want.codes)
  expect(found.quantized.read()).toEqual(want.quantized)
  expect(found.errors.read()).toEqual(want.errors)
  for (const a of [found.codes, found.quantized, found.errors]) a.dispose()
  for (const beam of [1, 2, 5])
    for (const levelErrors of [false, true]) {
      const wanted = residualEncode(x, books, { dim, beam, levelErrors })
      expect(residualEncode(x, books, { dim, beam, levelErrors, device: 'cuda' })).toEqual(wanted)
      const there = residualEncode(rows, books, { dim, beam, levelErrors })
      expect(there.levelErrors?.read()).toEqual(wanted.levelErrors)
      for (const a of Object.values(there)) a.dispose()
    }
  rows.dispose()
  await releaseForgotten()
})

test('emaUpdate moves a state on the device as it moves one in memory', async () => {
  const indices = nearest(x, book, { dim }).indices
  indices[4] = -1
  const want = initEmaState(book, { dim })
  const travelling = initEmaState(book, { dim })
  const { codebook, counts, sums } = initEmaState(book, { dim })
  const resident = {
    codebook: DeviceArray.upload(codebook),
    counts: DeviceArray.upload(counts),
    sums: DeviceArray.upload(sums),
  }
  for (let step = 0; step < 3; step++) {
    emaUpdate(x, indices, want, { dim, decay: 0.8 })
    emaUpdate(x, indices, travelling, { dim, decay: 0.8, device: 'cuda' })
    await emaUpdateAsync(x, indices, resident, { dim, decay: 0.8 })
  }
  expect(travelling).toEqual(want)
  for (const name of ['codebook', 'counts', 'sums'] as const) {
    expect(resident[name].read()).toEqual(want[name])
    resident[name].dispose()
  }
  const mixed = { ...travelling, counts: DeviceArray.upload(counts) }
  expect(() => emaUpdate(x, indices, mixed as never, { dim })).toThrow(VqConfigError)
  mixed.counts.dispose()
})

test('kmeans gives the bits of the CPU, from typed arrays and from the device', async () => {
  for (const init of ['random', 'k-means++', book.slice(0, 12 * dim)] as const) {
    const options = { k: 12, dim, init, seed: 5, spherical: init === 'random' }
    const want = kmeansSync(x, options)
    expect(kmeansSync(x, { ...options, device: 'cuda' })).toEqual(want)
    const told: number[] = []
    const rows = DeviceArray.upload(x)
    const found = await kmeans(rows, { ...options, onProgress: p => told.push(p.inertia) })
    expect(told).toEqual(want.history)
    expect([found.inertia, found.history, found.converged]).toEqual([
      want.inertia,
      want.history,
      want.converged,
    ])
    expect(found.centroids.read()).toEqual(want.centroids)
    expect(found.assignments.read()).toEqual(want.assignments)
    for (const a of [rows, found.centroids, found.assignments]) a.dispose()
  }
  const signal = AbortSignal.abort()
  await expect(kmeans(x, { k: 3, dim, device: 'cuda', signal })).rejects.toThrow('abort')
})

test('rows that come in blocks give the same bits', async () => {
  process.env.VQ_CUDA_BLOCK_ROWS = '512'
  try {
    const many = draw(1300 * dim, 8)
    const books = [book, draw(9 * dim, 3)]
    expect(nearest(many, book, { dim, device: 'cuda' })).toEqual(nearest(many, book, { dim }))
    expect(residualEncode(many, books, { dim, device: 'cuda' })).toEqual(residualEncode(many, books, { dim }))
    const options = { dim, k: 9, seed: 3, weights: draw(1300, 4).map(w => w * w) }
    expect(await kmeans(many, { ...options, device: 'cuda' })).toEqual(await kmeans(many, options))
  } finally {
    delete process.env.VQ_CUDA_BLOCK_ROWS
  }
})

test('errors are those of the CPU', () => {
  const bad = x.slice()
  bad[33 * dim + 2] = Number.NaN
  for (const place of ['cpu', 'cuda'] as const) {
    expect(() => nearest(bad, book, { dim, device: place })).toThrow(VqValueError)
    expect(() => nearest(bad, book, { dim, device: place })).toThrow(
      'row 33 has no nearest code: it holds a NaN at element 2',
    )
    expect(() => nearest(x, book, { dim: 8, device: place })).toThrow(VqShapeError)
  }
  expect(() => nearest(x, book, { dim, device: 'tpu' as never })).toThrow(VqConfigError)
})

test('a DeviceArray holds what was put there until it is disposed of', () => {
  const floats = DeviceArray.upload(x)
  const whole = DeviceArray.upload(Int32Array.of(3, -1, 2 ** 31 - 1))
  const none = DeviceArray.upload(new Float32Array(0))
  expect([floats.length, floats.kind, whole.kind, none.read()]).toEqual([
    x.length,
    'Float32Array',
    'Int32Array',
    new Float32Array(0),
  ])
  expect(floats.read()).toEqual(x)
  expect(whole.read()).toEqual(Int32Array.of(3, -1, 2 ** 31 - 1))
  expect(device.memory().cuda!.inUse).toBe(4 * x.length + 12)
  expect(() => nearest(whole as never, book, { dim })).toThrow(VqConfigError)
  expect(() => nearest(floats, book, { dim, device: 'cpu' })).toThrow(VqConfigError)
  expect(() => DeviceArray.upload([1, 2] as never)).toThrow(VqConfigError)
  for (const a of [floats, whole, none]) {
    a.dispose()
    a.dispose()
    expect(a.disposed).toBe(true)
    expect(() => a.read()).toThrow(VqDeviceError)
  }
})

test('disposing of what a running call reads does not disturb it', async () => {
  const rows = DeviceArray.upload(x)
  const running = kmeans(rows, { k: 5, dim, seed: 1 })
  rows.dispose()
  const found = await running
  const want = kmeansSync(x, { k: 5, dim, seed: 1 })
  expect(found.centroids.read()).toEqual(want.centroids)
  found.centroids.dispose()
  found.assignments.dispose()
})

// The signal fires after the native code looked for the last time: the result is there, and nobody gets it.
test('a result that comes too late for its signal leaves nothing on the device', async () => {
  const rows = DeviceArray.upload(x)
  const state = { codebook: DeviceArray.upload(book), counts: ones(40), sums: DeviceArray.upload(book) }
  const { indices, distances } = nearest(rows, state.codebook, { dim })
  const held = [rows, indices, distances, ...Object.values(state)]
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    signal => nearestAsync(rows, book, { dim, signal }),
    signal => residualEncodeAsync(rows, [book], { dim, signal }),
    signal => emaUpdateAsync(rows, indices, state, { dim, signal }),
    signal => kmeans(rows, { k: 5, dim, seed: 1, signal }),
    signal => kmeans(rows, { k: 5, dim, seed: 1, signal, onProgress: () => {} }),
    signal => fsqEncodeAsync(rows, { levels: Array(dim).fill(3), signal }),
    signal => lfqEncodeAsync(rows, { dim, signal }),
  ]
  for (const call of calls) {
    const { signal, late } = lateSignal()
    const error = (await call(signal).catch((e: unknown) => e)) as Error
    expect([error.name, late()]).toEqual(['AbortError', true])
    expect(device.memory().cuda!.buffers).toBe(held.length)
  }
  expect(state.codebook.read()).toEqual(book)
  for (const a of held) a.dispose()
})

const ones = (count: number): DeviceArray => DeviceArray.upload(new Float32Array(count).fill(1))

/** A signal that is aborted without having told anybody, as seen once the call is over. */
function lateSignal(): { signal: AbortSignal; late(): boolean } {
  const { signal } = new AbortController()
  let asked = 0
  Object.defineProperty(signal, 'aborted', { get: () => ++asked > 1 })
  return { signal, late: () => asked > 1 }
}

test('what nobody holds any more is freed by the garbage collector', async () => {
  for (let i = 0; i < 20; i++) DeviceArray.upload(x)
  await releaseForgotten()
})

async function releaseForgotten(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 100 && device.memory().cuda!.buffers > 0; i++) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
