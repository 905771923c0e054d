import '@tensorflow/tfjs-backend-cpu'
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

test('a kernel that throws leaves nothing behind', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const [x, far] = [tf.tensor2d([[1, 2]]), tf.tensor1d([0, 5], 'int32')] // biome-ignore format: two tensors
  const before = tf.engine().backend.numDataIds()
  expect(() => tf.gather(x, far)).toThrow(/index 5 is outside an axis of size 1/)
  expect(tf.engine().backend.numDataIds()).toBe(before)
  tf.dispose([x, far])
})

test('tensors move to another backend and back with their values', async () => {
  const x = tf.tensor1d([1, 2, 3])
  await tf.setBackend('cpu')
  const y = tf.add(x, 1)
  await tf.setBackend('vq-cpu')
  const z = tf.add(y, x)
  expect(z.dataSync()).toEqual(Float32Array.of(3, 5, 7))
  tf.dispose([x, y, z])
})

test('concat of different dtypes takes the first', () => {
  const parts = [tf.tensor1d([1.5]), tf.tensor1d([2], 'int32')]
  const out = tf.concat(parts)
  expect([out.dtype, Array.from(out.dataSync())]).toEqual(['float32', [1.5, 2]])
  tf.dispose([...parts, out])
})
