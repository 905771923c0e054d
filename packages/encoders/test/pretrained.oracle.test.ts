import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { loadTorchCheckpoint, type StateDict, saveSafetensors } from '@vq/core/io'
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

describe('names of programs that train', () => {
  test.each(['module.', '_orig_mod.', 'module._orig_mod.', 'state_dict.', 'state_dict.module.', 'model.'])(
    '%s before every name changes nothing, nor does what stands beside the weights',
    async prefix => {
      const made = mkdtempSync(join(tmpdir(), 'vq-prefix-'))
      try {
        const from = join(folder, 'torchvision-resnet18')
        const { tensors } = await loadTorchCheckpoint(join(from, 'model.pth'))
        const named: StateDict = Object.fromEntries(
          Object.entries(tensors).map(([name, value]) => [prefix + name, value]),
        )
        if (/^(state_dict|model)/.test(prefix))
          named['optimizer.state.0.exp_avg'] = { dtype: 'F32', shape: [1], data: new Float32Array(1) }
        await saveSafetensors(join(made, 'model.safetensors'), named)
        copyFileSync(join(from, 'expected.safetensors'), join(made, 'expected.safetensors'))
        expect(await expectEqualLayers(made)).toBe(7)
        expect(tf.getBackend()).toBe('vq-cpu')
      } finally {
        rmSync(made, { recursive: true })
      }
    },
  )
})
