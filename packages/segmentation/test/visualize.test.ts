import { tf } from '@vq/core'
import type { Dataset } from '@vq/models/data'

import { expect, test } from 'vitest'
import { resultsFigure } from '../src/visualize/figure.js'
import { compareOnImages } from '../src/visualize/per-image.js'

// Three images of 2 × 2 pixels: right, half right, and one in which no pixel counts.
const truths = [
  [0, 0, 1, 1],
  [0, 0, 0, 0],
  [-1, -1, -1, -1],
]
const data: Dataset = {
  length: 3,
  shape: [2, 2, 3],
  ids: ['a', 'b', 'none'],
  batch: async indices => new Float32Array(indices.length * 12).fill(0.5),
  extras: async indices => ({
    mask: {
      values: Int32Array.from([...indices].flatMap(i => truths[i]!)),
      shape: [indices.length, 2, 2],
    },
  }),
}
const guess = (images: tf.Tensor): tf.Tensor => tf.tile(tf.tensor3d([0, 0, 1, 1], [1, 2, 2], 'int32'), [images.shape[0]!, 1, 1]) // biome-ignore format: one line
const model = { predict: guess } as never
const models = { baseline: model, squeezed: model }

test('an image in which no pixel counts has no IoU, and is left out', async () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const { images, squeezed } = await compareOnImages(models, data, { classes: 2, batchSize: 2 })
  // Of the second image class 0 is half there, and class 1 is nowhere in the truth.
  expect(images.map(i => [i.id, i.squeezed])).toEqual([
    ['a', 1],
    ['b', 0.25],
  ])
  expect(squeezed.scores.pixels).toBe(8)
})

test('grey is explained only where there is some, and a name stands once', async () => {
  const options = { title: 'best', classes: ['pet', 'ground'] }
  const result = (index: number) => ({ index, id: `image_${index}`, baseline: 0.5, squeezed: 0.25 })
  const plain = await resultsFigure([result(0), result(1)], data, models, options)
  expect(plain.svg).not.toContain('grey')
  expect(plain.svg).toContain('>image_0<')
  const grey = await resultsFigure([result(2)], data, models, options)
  expect(grey.svg).toContain('grey counts nowhere')
})
