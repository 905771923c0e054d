import { join } from 'node:path'
import { tf } from '@vq/core'
import { describe, expect, test } from 'vitest'
import { compared } from './text-video-fixture.js'

const folder = join(import.meta.dirname, '../../../test/oracle/text-video')

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
    expect(await compared(folder, name, options)).toBe(tensors)
    expect(tf.getBackend()).toBe('vq-cpu')
  })
})
