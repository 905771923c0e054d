import { tf } from '@vq/core'
import { expect, test } from 'vitest'

// tfjs's own Tensor methods work only on tensors of its main bundle, whatever else was loaded beside it.
test('tensors are those of the main bundle where nothing but @vq/core was imported', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const sum = tf.add(tf.tensor1d([1], 'int32'), tf.tensor1d([1.5]))
  expect([sum.dtype, ...sum.dataSync()]).toEqual(['float32', 2.5])
  expect([...sum.clone().dataSync()]).toEqual([2.5])
  // TypeScript does not know of the method that tfjs's own code calls.
  const { cast } = sum as unknown as { cast(this: tf.Tensor, dtype: tf.DataType): tf.Tensor }
  expect([...cast.call(sum, 'int32').dataSync()]).toEqual([2])
  expect([...tf.variable(tf.tensor1d([2.5]), false, undefined, 'int32').dataSync()]).toEqual([2])
})
