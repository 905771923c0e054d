import { expectConfig, expectShape, tf } from '@vq/core'
import { ArrayDataset } from '@vq/models/data'
import type { Modality, Source } from './source.js'

/**
 * Items that are in memory as a source: texts, a tensor [N, ...shape], or numbers of items of `shape`. Ids are `row-<n>`, or
 * those given.
 */
export function memorySource(
  values: Float32Array | readonly string[] | tf.Tensor,
  options: {
    modality: Modality
    shape?: readonly number[]
    ids?: readonly string[]
    labels?: readonly string[]
    captions?: readonly string[]
  },
): Source {
  const { modality, labels, captions } = options
  const isTexts = Array.isArray(values)
  expectConfig(
    isTexts === (modality === 'text') &&
      (isTexts || values instanceof Float32Array || values instanceof tf.Tensor),
    'memorySource',
    modality === 'text' ? 'texts as an array of strings' : 'a tensor [N, ...] or a Float32Array',
    values,
    'Pass the items of this modality.',
  )
  const shape = isTexts ? [] : values instanceof tf.Tensor ? values.shape.slice(1) : (options.shape ?? [])
  const size = shape.reduce((a, b) => a * b, 1)
  const numbers = isTexts
    ? undefined
    : values instanceof tf.Tensor
      ? Float32Array.from(values.dataSync())
      : (values as Float32Array)
  const texts = isTexts ? (values as readonly string[]) : undefined
  expectShape(
    numbers === undefined || (shape.length > 0 && numbers.length % size === 0),
    'memorySource',
    `whole items of shape [${shape.join(', ')}]`,
    `${numbers?.length} numbers`,
    'Pass the shape of one item.',
  )
  const length = texts?.length ?? (numbers as Float32Array).length / size
  const ids = options.ids ?? Array.from({ length }, (_, i) => `row-${i}`)
  for (const [name, list] of Object.entries({ ids, labels, captions }))
    expectShape(
      list === undefined || list.length === length,
      'memorySource',
      `${length} ${name}`,
      `${list?.length}`,
      'Pass one per item.',
    )
  const source: Source = {
    modality,
    length,
    shape,
    ids,
    skipped: [],
    ...(labels && { labels }),
    ...(captions && { captions }),
    read: async indices => {
      const at = Int32Array.from(indices)
      if (texts !== undefined)
        return { values: Array.from(at, i => texts[i] as string), indices: at, failed: [] }
      const picked = new Float32Array(at.length * size)
      for (const [row, i] of at.entries())
        picked.set((numbers as Float32Array).subarray(i * size, (i + 1) * size), row * size)
      return { values: picked, indices: at, failed: [] }
    },
    check: async () => source,
    dataset: () => new ArrayDataset(numbers ?? new Float32Array(0), shape),
    close: async () => {},
  }
  return source
}
