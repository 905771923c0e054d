import { tf } from '@vq/core'
import { expect, test } from 'vitest'

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
  expect(() => tf.erf(x)).toThrow('kernel Erf is not implemented for vq-cpu')
})
