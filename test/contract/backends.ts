import '@tensorflow/tfjs-backend-cpu'
import { device, tf } from '@vq/core'
import { afterEach, beforeEach, describe, expect } from 'vitest'

/** Runs a suite on each backend. Every test starts on it and leaves no tensor behind. */
export function onBackends(suite: (backend: string) => void, names: string[] = ['vq-cpu', 'cpu']): void {
  describe.each(names)('%s', name => {
    let before = 0
    beforeEach(async () => {
      await tf.setBackend(name)
      expect(tf.getBackend()).toBe(name)
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
