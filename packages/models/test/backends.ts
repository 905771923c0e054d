import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import { describe, expect } from 'vitest'

/** Runs a suite on each backend; every test starts on it and must leave no tensor behind. */
export function onBackends(suite: (backend: string) => void, names = ['vq-cpu', 'cpu']): void {
  for (const name of names)
    describe(name, () => {
      suite(name)
    })
}

/** Picks the backend and proves that it is the one in use. */
export async function useBackend(name: string): Promise<void> {
  await tf.setBackend(name)
  expect(tf.getBackend()).toBe(name)
}
