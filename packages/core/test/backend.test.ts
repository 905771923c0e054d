import '@tensorflow/tfjs-backend-cpu'
import { device, tf, VqError, VqMemoryError, VqValueError } from '@vq/core'
import { afterEach, describe, expect, test } from 'vitest'

test('importing the core picks vq-cpu', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
})

test('values survive the way into native memory and back', () => {
  const x = tf.tensor2d([
    [1, 2],
    [3, 4],
  ])
  expect(tf.reshape(x, [4]).dataSync()).toEqual(Float32Array.of(1, 2, 3, 4))
  x.dispose()
})

test('a kernel that is not there says so and is never a silent wrong answer', () => {
  const x = tf.tensor1d([1, 2, 3])
  const run = () => tf.engine().runKernel('MatrixBandPart', { x })
  expect(run).toThrow('kernel MatrixBandPart is not implemented for vq-cpu')
})

describe('beside another backend', () => {
  afterEach(async () => {
    await tf.setBackend('vq-cpu')
  })

  test('a tensor may go to another backend and come back, clones and views with it', async () => {
    const x = tf.tensor1d([1, 2, 3])
    const clone = tf.clone(x)
    await tf.setBackend('cpu')
    const sum = tf.add(x, 1)
    x.dispose()
    await tf.setBackend('vq-cpu')
    expect(tf.getBackend()).toBe('vq-cpu')
    const others = [7, 8, 9].map(value => tf.fill([3], value)) // take the memory that x had
    const product = tf.mul(clone, sum)
    expect(product.dataSync()).toEqual(Float32Array.of(2, 6, 12))
    expect(clone.dataSync()).toEqual(Float32Array.of(1, 2, 3))
    tf.dispose([clone, sum, product, ...others])
  })

  test('nothing is left behind by moving', async () => {
    const before = device.memory()
    const x = tf.variable(tf.tensor1d([1, 2, 3]))
    for (let i = 0; i < 5; i++) {
      for (const name of ['cpu', 'vq-cpu']) {
        await tf.setBackend(name)
        tf.tidy(() => x.assign(tf.add(x, 1)))
      }
    }
    expect(x.dataSync()).toEqual(Float32Array.of(11, 12, 13))
    x.dispose()
    // The tensor that the variable was made from stays, on the other backend.
    expect(device.memory().tensors).toBe(before.tensors + 1)
    expect(device.memory().native?.buffers).toBe(before.native?.buffers ?? Number.NaN)
  })
})

test('parts of different types are joined by value, in the type of the first', () => {
  const parts = [tf.tensor1d([1.5, -2]), tf.tensor1d([3], 'int32'), tf.tensor1d([true, false], 'bool')]
  const all = tf.concat(parts as tf.Tensor1D[])
  expect(all.dtype).toBe('float32')
  expect(all.dataSync()).toEqual(Float32Array.of(1.5, -2, 3, 1, 0))
  tf.dispose([...parts, all])
})

test('a range downwards needs no step', () => {
  expect(tf.tidy(() => tf.range(3, 0).dataSync())).toEqual(Float32Array.of(3, 2, 1))
})

test('a kernel that fails leaves no memory behind and is a typed error', () => {
  const x = tf.tensor1d([1, 2])
  const outside = tf.tensor1d([5], 'int32')
  const flags = tf.tensor1d([true, false], 'bool')
  const buffers = device.memory().native?.buffers
  expect(() => tf.gather(x, outside)).toThrow(VqValueError)
  expect(() => tf.prod(flags, 5)).toThrow(Error)
  expect(() => tf.mod(flags, flags)).toThrow(VqError)
  expect(() => tf.fill([2 ** 20, 2 ** 20], 1)).toThrow(VqMemoryError)
  expect(device.memory().native?.buffers).toBe(buffers)
  tf.dispose([x, outside, flags])
})

test('data that was disposed is not read, even where its place was taken', () => {
  const x = tf.tensor1d([1, 2])
  const info = { dataId: x.dataId, shape: [2], dtype: 'float32' as const }
  x.dispose()
  const next = tf.fill([2], 9)
  expect(() => tf.engine().runKernel('Square', { x: info as never })).toThrow(VqValueError)
  next.dispose()
})
