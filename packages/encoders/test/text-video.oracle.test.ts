// Checkpoints of transformers with what it makes of texts and videos, written by test/oracle/text-video-encoders.py.
import { join } from 'node:path'
import { tf } from '@vq/core'
import { loadSafetensors, type StateDict, toTensor } from '@vq/core/io'
import { describe, expect, test } from 'vitest'
import { type BaseEncoder, type BertEncoder, fromPretrained } from '../src/index.js'

const folder = join(import.meta.dirname, '../../../test/oracle/text-video')

/** Largest difference over the largest magnitude. */
function relativeError(actual: tf.Tensor, expected: tf.Tensor): number {
  expect(actual.shape).toEqual(expected.shape)
  const [a, b] = [actual.dataSync(), expected.dataSync()]
  const size = b.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
  return a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0) / size
}

async function compared(name: string, options: Record<string, unknown>): Promise<number> {
  const { tensors }: { tensors: StateDict } = await loadSafetensors(
    join(folder, name, 'expected.safetensors'),
  )
  const encoder: BaseEncoder = await fromPretrained(join(folder, name), options)
  const given = (key: string): tf.Tensor | undefined => tensors[key] && toTensor(tensors[key])
  let count = 0
  tf.tidy(() => {
    const close = (actual: tf.Tensor, key: string): void => {
      expect(relativeError(actual, given(key)!), key).toBeLessThan(1e-4)
      count++
    }
    for (let i = 0; ; i++) {
      const x = given(`ids.${i}`) ?? given(`videos.${i}`)
      if (x === undefined) break
      const [mask, tokenTypes] = [given(`mask.${i}`), given(`types.${i}`)]
      const inputs = { ...(mask && { mask }), ...(tokenTypes && { tokenTypes }) }
      const layers = (encoder as BertEncoder).hiddenStates(x, inputs)
      expect(layers.length).toBe(Object.keys(tensors).filter(k => k.startsWith(`hidden.${i}.`)).length)
      for (const [layer, y] of layers.entries()) close(y, `hidden.${i}.${layer}`)
      const { embedding, sequence } = (encoder as BertEncoder).forward(x, inputs)
      close(sequence!, `sequence.${i}`)
      close(embedding, `embedding.${i}`)
    }
  })
  encoder.dispose()
  return count
}

// Tensors compared: those before and behind each layer, the sequence and the embedding, for each batch.
const cases: [name: string, tensors: number, options?: Record<string, unknown>][] = [
  ['bert', 10],
  ['bert-mlm', 8],
  ['roberta', 10],
  ['distilbert', 10],
  ['distilbert-sinusoidal', 4],
  ['minilm', 8],
  ['sentence-cls', 8],
  ['sentence-max', 8],
  ['sentence-weighted', 8],
  ['sentence-sqrt', 8],
  ['sentence-last', 8],
  ['clip-text', 10, { tower: 'text' }],
  ['clip-text-legacy', 10],
  ['clip-both', 8, { tower: 'text' }],
  ['videomae', 5],
  ['videomae-classifier', 5],
  ['videomae-no-bias', 4],
  ['timesformer', 5],
  ['timesformer-joint', 5],
  ['timesformer-space', 4],
]

describe('every layer of a pretrained model equals that of the Python library to 1e-4', () => {
  test.each(cases)('%s', async (name, tensors, options = {}) => {
    expect(await compared(name, options)).toBe(tensors)
    expect(tf.getBackend()).toBe('vq-cpu')
  })
})
