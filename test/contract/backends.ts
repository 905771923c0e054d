import '@tensorflow/tfjs-backend-cpu'
import { device, tf } from '@vq/core'
import { afterEach, beforeEach, describe, expect } from 'vitest'

/** Those that suites run on: the fused kernels and the composition of tfjs's operations, or what VQ_TEST_BACKENDS lists. */
export const backends: string[] = process.env.VQ_TEST_BACKENDS?.split(',') ?? ['vq-cpu', 'cpu']

/** Makes a backend the active one. */
export async function use(backend: string): Promise<void> {
  if (backend === 'tensorflow') await device.use('tensorflow')
  else await tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
}

/** Runs a suite on each backend. Every test starts on it and leaves no tensor behind. */
export function onBackends(suite: (backend: string) => void, names: string[] = backends): void {
  describe.each(names)('%s', name => {
    let before = 0
    beforeEach(async () => {
      await use(name)
      // Threads have tests of their own; on shapes as small as these they only wait for each other.
      device.threads = 1
      before = tf.memory().numTensors
    })
    afterEach(() => {
      expect(tf.getBackend()).toBe(name)
      expect(tf.memory().numTensors).toBe(before)
    })
    suite(name)
  })
}
