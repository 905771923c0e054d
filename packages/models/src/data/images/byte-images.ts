import { expectInteger, expectShape, VqValueError } from '@vq/core'
import { type Dataset, type Extras, expectIndices } from '../dataset.js'
import { copyScaled } from './scale.js'

/** Samples with a class each. The extra `label` [N] int32 holds its number. */
export interface LabeledDataset extends Dataset {
  /** Names of the classes, by number. */
  readonly classes: readonly string[]
  /** The class of each item, by number. */
  readonly labelIds: Int32Array
  /** The class of each item, by name. */
  readonly labels: readonly string[]
  extras(indices: Int32Array): Extras
}

type Labels = Pick<LabeledDataset, 'classes' | 'labelIds' | 'labels' | 'extras'>

/** The extra `label` of the samples of these numbers. */
export function labelExtra(labelIds: Int32Array, indices: Int32Array): Extras {
  return { label: { values: indices.map(i => labelIds[i]), shape: [indices.length] } }
}

/** What labelled data sets have in common; throws VqValueError for a label that has no class. */
export function labeled(operation: string, labelIds: Int32Array, classes: readonly string[]): Labels {
  const bad = labelIds.findIndex(id => !(id >= 0 && id < classes.length))
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: `labels from 0 to ${classes.length - 1}`,
      received: `${labelIds[bad]} for item ${bad}`,
      remedy: 'Check that the labels belong to these data.',
    })
  return {
    classes,
    labelIds,
    labels: Array.from(labelIds, id => classes[id]),
    extras: indices => {
      expectIndices(`${operation}.extras`, labelIds, indices)
      return labelExtra(labelIds, indices)
    },
  }
}

export interface ByteImagesOptions {
  /** One image after another, row-major [N, H, W, C]; kept, not copied. */
  pixels: Uint8Array
  /** [H, W, C] */
  shape: readonly [number, number, number]
  /** A class per image. */
  labelIds: Int32Array
  classes: readonly string[]
  /** How errors call the data set. Default 'byteImages'. */
  name?: string
}

/**
 * Labelled images in memory, a byte per value; batches are float32, values k/255. Throws VqShapeError where pixels, shape and
 * labels do not fit each other, VqValueError for a label without a class.
 */
export function byteImages(options: ByteImagesOptions): LabeledDataset {
  const { pixels, shape, labelIds, classes, name = 'byteImages' } = options
  for (const edge of shape) expectInteger(name, 'each size of the shape', edge, 1)
  const size = shape[0] * shape[1] * shape[2]
  expectShape(
    pixels.length === labelIds.length * size && labelIds.length > 0,
    name,
    `${labelIds.length} images of ${size} bytes, at least one`,
    `${pixels.length} bytes`,
    'Pass one label per image.',
  )
  const length = labelIds.length
  return {
    length,
    shape,
    ...labeled(name, labelIds, classes),
    batch: indices => {
      expectIndices(`${name}.batch`, { length }, indices)
      const out = new Float32Array(indices.length * size)
      for (let n = 0; n < indices.length; n++) copyScaled(pixels, indices[n] * size, out, n * size, size)
      return out
    },
  }
}
