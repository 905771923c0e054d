import { join } from 'node:path'
import { tf } from '@vq/core'
import { describe, expect, test } from 'vitest'
import { expectEqualLayers } from './pretrained-fixture.js'

const folder = join(import.meta.dirname, '../../../test/oracle/encoders')

// Layers compared: those before and behind each block, the sequence and the embedding, for each size of images.
const cases: [name: string, layers: number, options?: Record<string, unknown>][] = [
  ['vit', 10],
  ['vit-oblong', 5],
  ['vit-classifier', 5],
  ['dinov2', 15],
  ['dinov2-swiglu', 5],
  ['dinov2-registers', 15],
  ['clip-vision', 10],
  ['clip-projection', 5],
  ['clip', 5],
  ['resnet-basic', 6],
  ['resnet-bottleneck', 7],
  ['torchvision-vit', 4, { numHeads: 2 }],
  ['torchvision-resnet18', 7],
  ['torchvision-resnet50', 7],
  ['deeplab', 8, { rates: [2, 3], outputStride: 8 }],
]

describe('every layer of a pretrained model equals that of the Python library to 1e-4', () => {
  test.each(cases)('%s', async (name, layers, options) => {
    expect(await expectEqualLayers(join(folder, name), options)).toBe(layers)
    expect(tf.getBackend()).toBe('vq-cpu')
  })
})
