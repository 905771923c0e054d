import { VqConfigError } from '@vq/core'
import { expect, test, vi } from 'vitest'

// As tfjs-layers looks with a tfjs-core of its own: its Layer is not made of ours.
vi.mock('@tensorflow/tfjs-layers', () => ({ layers: { Layer: class Layer {} }, LayerVariable: class {} }))

test('layers refuse a TensorFlow.js layers that brings another tfjs-core, and say how to find it', async () => {
  const error = await import('@vq/quantizers/layers').catch((e: unknown) => e)
  expect(error).toBeInstanceOf(VqConfigError)
  expect((error as Error).message).toMatch(/one @tensorflow\/tfjs-core.*npm ls @tensorflow\/tfjs-core/)
})
