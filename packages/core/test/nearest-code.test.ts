import { nearest, nearestCode, tf, VqShapeError, VqValueError } from '@vq/core'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

afterEach(async () => {
  await tf.setBackend('vq-cpu')
})
afterAll(() => {
  delete process.env.VQ_NATIVE_PATH
})

const [n, k, dim] = [60, 50, 9]
const x = draw(n * dim, 1)
const codes = draw(k * dim, 2)

test('codes of tensors are the codes of typed arrays, on every backend and metric', async () => {
  for (const backend of backends) {
    await use(backend)
    for (const metric of ['l2', 'cosine', 'dot'] as const) {
      const before = tf.memory().numTensors
      const [z, book] = [tf.tensor(x, [3, 4, 5, dim]), tf.tensor2d(codes, [k, dim])]
      const found = nearestCode(z, book, { metric })
      expect([found.shape, found.dtype]).toEqual([[3, 4, 5], 'int32'])
      expect(found.dataSync()).toEqual(nearest(x, codes, { dim, metric }).indices)
      tf.dispose([z, book, found])
      expect(tf.memory().numTensors).toBe(before)
    }
    expect(nearestCode(tf.zeros([0, dim]), tf.tensor2d(codes, [k, dim])).shape).toEqual([0])
    expect(nearestCode(tf.tensor1d([3, 0], 'int32'), tf.tensor2d([0, 0, 3, 1], [2, 2])).dataSync()[0]).toBe(1)
  }
})

test('it may stand under a gradient, which passes it by', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const book = tf.tensor2d(codes, [k, dim])
  const z = tf.tensor2d(x, [n, dim])
  const grads = tf.grad(v => {
    const index = nearestCode(v, book)
    return tf.add(tf.sum(tf.mul(v, 2)), tf.mul(tf.sum(tf.cast(index, 'float32')), 0))
  })(z)
  expect(grads.dataSync()).toEqual(new Float32Array(n * dim).fill(2))
})

test('wrong shapes and vectors without a nearest code are typed errors', async () => {
  const book = tf.tensor2d(codes, [k, dim])
  expect(() => nearestCode(tf.zeros([2, dim + 1]), book)).toThrow(VqShapeError)
  expect(() => nearestCode(tf.scalar(1), book)).toThrow(VqShapeError)
  expect(() => nearestCode(tf.zeros([2, dim]), tf.zeros([0, dim]))).toThrow(VqShapeError)
  for (const backend of backends) {
    await use(backend)
    const bad = tf.tensor2d([0, Number.NaN, 1, 2], [2, 2])
    expect(() => nearestCode(bad, tf.zeros([1, 2]))).toThrow(VqValueError)
    expect(() => nearestCode(bad, tf.zeros([1, 2]))).toThrow('nearestCode: expected finite vectors')
    expect(() => nearestCode(bad, tf.zeros([1, 2]))).toThrow(
      'row 0 has no nearest code: it holds a NaN at element 1',
    )
  }
})

test('without the addon tfjs computes the codes and the EMA, and says so once', async () => {
  vi.resetModules()
  process.env.VQ_NATIVE_PATH = '/nowhere/vq.node'
  const warnings: string[] = []
  vi.spyOn(console, 'warn').mockImplementation(text => void warnings.push(text))
  const composed = () =>
    warnings.filter(text => text.includes('is computed with TensorFlow.js operations')).length
  const bare = await import('@vq/core')
  expect(bare.tryNative()).toBeUndefined()
  expect(() => bare.nearest(x, codes, { dim })).toThrow('/nowhere/vq.node')
  expect(bare.device.list()[0].reason).toContain('/nowhere/vq.node')
  await bare.tf.setBackend('cpu')
  expect(bare.tf.getBackend()).toBe('cpu')
  for (const metric of ['l2', 'cosine', 'dot'] as const) {
    const found = bare.nearestCode(tf.tensor2d(x, [n, dim]), tf.tensor2d(codes, [k, dim]), { metric })
    expect(found.dataSync()).toEqual(nearest(x, codes, { dim, metric }).indices)
  }
  expect(() => bare.nearestCode(tf.tensor2d([Number.NaN], [1, 1]), tf.zeros([1, 1]))).toThrow(
    'without a nearest code',
  )
  expect(composed()).toBe(1)
  const state = {
    codebook: tf.variable(tf.tensor2d([0, 4], [2, 1])),
    counts: tf.variable(tf.ones([2])),
    sums: tf.variable(tf.tensor2d([0, 4], [2, 1])),
  }
  bare.emaUpdateTensors(tf.tensor2d([2, 2, 9], [3, 1]), tf.tensor1d([0, 0, -1], 'int32'), state, {
    decay: 0.5,
    epsilon: 0,
  })
  expect([...state.counts.dataSync()]).toEqual([1.5, 0.5])
  expect([...state.sums.dataSync()]).toEqual([2, 2])
  expect(state.codebook.dataSync()[0]).toBeCloseTo(2 / 1.5, 6)
  expect(state.codebook.dataSync()[1]).toBeCloseTo(4, 6)
  expect(composed()).toBe(2)
})
