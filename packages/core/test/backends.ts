import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import { expect } from 'vitest'

/** The fused kernels, and the composition of tfjs's operations. */
export const backends = ['vq-cpu', 'cpu'] as const

/** Makes a backend the active one. */
export async function use(backend: string): Promise<void> {
  await tf.setBackend(backend)
  expect(tf.getBackend()).toBe(backend)
}
