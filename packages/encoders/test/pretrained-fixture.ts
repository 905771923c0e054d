// Checkpoints of Python's libraries with what these make of images, written by test/oracle/encoders.py.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { loadSafetensors, type StateDict, toTensor } from '@vq/core/io'
import { expect } from 'vitest'
import {
  type BaseEncoder,
  DeepLabV3Encoder,
  type EncoderOutput,
  fromPretrained,
  type VisionTransformerEncoder,
} from '../src/index.js'

/** The folder of a checkpoint, or its file where there is no config.json. */
export function checkpointIn(folder: string): string {
  if (existsSync(join(folder, 'config.json'))) return folder
  return join(folder, readdirSync(folder).find(name => name.startsWith('model.'))!)
}

/** Largest difference over the largest magnitude. */
export function relativeError(actual: tf.Tensor, expected: tf.Tensor): number {
  expect(actual.shape).toEqual(expected.shape)
  const [a, b] = [actual.dataSync(), expected.dataSync()]
  let difference = 0
  let size = 0
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!))
    if (Number.isNaN(a[i])) return Number.NaN
    size = Math.max(size, Math.abs(b[i]!))
  }
  return difference / size
}

/** Every layer's output and the pooled one against what Python's library gave; the number of layers compared. */
export async function expectEqualLayers(
  folder: string,
  options: Record<string, unknown> = {},
): Promise<number> {
  const expected: StateDict = (await loadSafetensors(join(folder, 'expected.safetensors'))).tensors
  const encoder: BaseEncoder = await fromPretrained(checkpointIn(folder), options)
  let compared = 0
  tf.tidy(() => {
    const close = (actual: tf.Tensor, name: string): void => {
      expect(relativeError(actual, toTensor(expected[name]!)), name).toBeLessThan(1e-4)
      compared++
    }
    for (let i = 0; expected[`images.${i}`] !== undefined; i++) {
      const images = toTensor(expected[`images.${i}`]!)
      const layers = (encoder as VisionTransformerEncoder).hiddenStates(images)
      expect(layers.length).toBe(Object.keys(expected).filter(k => k.startsWith(`hidden.${i}.`)).length)
      for (const [layer, y] of layers.entries()) close(y, `hidden.${i}.${layer}`)
      const { embedding, sequence }: EncoderOutput = encoder.forward(images)
      close(sequence!, `sequence.${i}`)
      close(embedding, `embedding.${i}`)
      if (encoder instanceof DeepLabV3Encoder) close(encoder.segment(images), `segmentation.${i}`)
    }
  })
  encoder.dispose()
  return compared
}
