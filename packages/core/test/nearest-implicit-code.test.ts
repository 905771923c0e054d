import { device, nearestCode, nearestImplicitCode, tf, VqShapeError, VqValueError } from '@vq/core'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

afterEach(async () => {
  await tf.setBackend('vq-cpu')
})
afterAll(() => {
  delete process.env.VQ_NATIVE_PATH
})

const [n, k, dim, hidden, blocks] = [57, 20, 9, 14, 2]
const z = draw(n * dim, 1)
const shift = draw(n * dim, 2, 0.3)
const start = draw(k * dim, 3)
const up = draw(blocks * dim * hidden, 4, 0.4)
const down = draw(blocks * hidden * dim, 5, 0.4)

type Core = typeof import('@vq/core')
const run = (core: Core, rows = z, by = shift): ArrayLike<number> =>
  core.tf.tidy(() =>
    core
      .nearestImplicitCode(
        core.tf.tensor2d(rows, [rows.length / dim, dim]),
        core.tf.tensor2d(by, [by.length / dim, dim]),
        {
          start: core.tf.tensor2d(start, [k, dim]),
          up: core.tf.tensor3d(up, [blocks, dim, hidden]),
          down: core.tf.tensor3d(down, [blocks, hidden, dim]),
        },
      )
      .dataSync(),
  )
const here = { tf, nearestImplicitCode } as Core

/** Half the squared distance of row i from its codeword of code c, less half its squared norm, in float64. */
function score(i: number, c: number): number {
  const e = Array.from({ length: dim }, (_, d) => start[c * dim + d] + shift[i * dim + d])
  for (let l = 0; l < blocks; l++) {
    const inner = Array.from({ length: hidden }, (_, j) =>
      Math.max(
        0,
        e.reduce((sum, v, d) => sum + v * up[(l * dim + d) * hidden + j], 0),
      ),
    )
    for (let d = 0; d < dim; d++)
      e[d] += inner.reduce((sum, v, j) => sum + v * down[(l * hidden + j) * dim + d], 0)
  }
  return e.reduce((sum, v, d) => sum + v * v * 0.5 - v * z[i * dim + d], 0)
}

test('codes are those of the smallest score in float64, on every backend, alone and among others', async () => {
  const want = Array.from({ length: n }, (_, i) => {
    const scores = Array.from({ length: k }, (_, c) => score(i, c))
    const sorted = scores.toSorted((a, b) => a - b)
    expect(sorted[1] - sorted[0]).toBeGreaterThan(1e-4)
    return scores.indexOf(sorted[0])
  })
  for (const backend of backends) {
    await use(backend)
    const before = tf.memory().numTensors
    expect(Array.from(run(here))).toEqual(want)
    const alone = want.flatMap((_, i) => {
      const row = (x: Float32Array): Float32Array => x.slice(i * dim, (i + 1) * dim)
      return Array.from(run(here, row(z), row(shift)))
    })
    expect(alone).toEqual(want)
    expect(tf.memory().numTensors).toBe(before)
    expect(run(here, new Float32Array(0), new Float32Array(0)).length).toBe(0)
  }
})

test('a network that changes nothing gives the codes of the codebook, ties to the lower one, for every thread count', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const { threads } = device
  const twice = new Float32Array(2 * k * dim)
  twice.set(start)
  twice.set(start, k * dim)
  try {
    for (const count of [1, 3]) {
      device.threads = count
      tf.tidy(() => {
        const [rows, codes] = [tf.tensor2d(draw(400 * dim, 8), [400, dim]), tf.tensor2d(twice, [2 * k, dim])]
        const found = nearestImplicitCode(rows, tf.zerosLike(rows), {
          start: codes,
          up: tf.tensor3d(up, [blocks, dim, hidden]),
          down: tf.zeros([blocks, hidden, dim]),
        })
        expect(found.dataSync()).toEqual(nearestCode(rows, codes).dataSync())
        expect(Math.max(...found.dataSync())).toBeLessThan(k)
      })
    }
  } finally {
    device.threads = threads
  }
})

test('it may stand under a gradient, which passes it by', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  tf.tidy(() => {
    const weights = {
      start: tf.tensor2d(start, [k, dim]),
      up: tf.tensor3d(up, [blocks, dim, hidden]),
      down: tf.tensor3d(down, [blocks, hidden, dim]),
    }
    const grads = tf.grad(v => {
      const index = nearestImplicitCode(v as tf.Tensor2D, tf.mul(v, 0.5), weights)
      return tf.add(tf.sum(tf.mul(v, 2)), tf.mul(tf.sum(tf.cast(index, 'float32')), 0))
    })(tf.tensor2d(z, [n, dim]))
    expect(grads.dataSync()).toEqual(new Float32Array(n * dim).fill(2))
  })
})

test('shapes that do not fit and vectors without a nearest code are typed errors', async () => {
  const [two, book] = [tf.zeros<tf.Rank.R2>([2, 3]), tf.zeros<tf.Rank.R2>([4, 3])]
  const weights = { up: tf.zeros<tf.Rank.R3>([1, 3, 5]), down: tf.zeros<tf.Rank.R3>([1, 5, 3]) }
  const call = (change: Record<string, tf.Tensor>): (() => tf.Tensor) => {
    const { z, shift, ...codebook } = { z: two, shift: two, start: book, ...weights, ...change }
    return () => nearestImplicitCode(z as tf.Tensor2D, shift as tf.Tensor2D, codebook)
  }
  expect(() => call({})()).not.toThrow()
  for (const change of [
    { shift: tf.zeros([3, 3]) },
    { start: tf.zeros([4, 2]) },
    { start: tf.zeros([0, 3]) },
    { up: tf.zeros([2, 3, 5]) },
    { up: tf.zeros([1, 3, 4]) },
    { down: tf.zeros([1, 3, 5]) },
    { up: tf.zeros([0, 3, 5]), down: tf.zeros([0, 5, 3]) },
    { z: tf.zeros([2, 3], 'int32') },
  ])
    expect(call(change)).toThrow(VqShapeError)
  for (const backend of backends) {
    await use(backend)
    const bad = tf.tensor2d([0, 0, 0, 0, Number.NaN, 1], [2, 3])
    expect(call({ z: bad })).toThrow(VqValueError)
    expect(call({ z: bad })).toThrow('nearestImplicitCode: expected finite vectors')
    expect(call({ z: bad })).toThrow('row 1 has no nearest code: it holds a NaN at element 1')
    expect(call({ start: tf.fill([4, 3], 1e30) })).toThrow('row 0 has no nearest code: it meets codewords')
  }
})

test('without the addon tfjs computes the codes, and says so once', async () => {
  const want = run(here)
  vi.resetModules()
  process.env.VQ_NATIVE_PATH = '/nowhere/vq.node'
  const warnings: string[] = []
  vi.spyOn(console, 'warn').mockImplementation(text => void warnings.push(text))
  const bare = await import('@vq/core')
  expect(bare.tryNative()).toBeUndefined()
  await bare.tf.setBackend('cpu')
  expect(bare.tf.getBackend()).toBe('cpu')
  for (let i = 0; i < 2; i++) expect(run(bare)).toEqual(want)
  expect(() =>
    run(
      bare,
      z.map(() => Number.NaN),
    ),
  ).toThrow('without a nearest code')
  expect(warnings.filter(text => text.startsWith('nearestImplicitCode is computed')).length).toBe(1)
})
