import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import { expect, test } from 'vitest'
import { table, withoutGenerator } from './table.js'

test('every kernel that is registered has a generator, or stands in the list with a reason', () => {
  const kernels = tf.getKernelsForBackend('vq-cpu').map(k => k.kernelName)
  expect(kernels.length).toBeGreaterThan(170)
  expect(kernels.filter(name => !(name in table) && !(name in withoutGenerator))).toEqual([])
  expect(Object.keys({ ...table, ...withoutGenerator }).filter(name => !kernels.includes(name))).toEqual([])
})
