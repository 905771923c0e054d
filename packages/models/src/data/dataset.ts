import { describe, expectShape, VqConfigError } from '@vq/core'

/** What samples are made of: Float32Array, such as images and embeddings, or Int32Array, such as tokens. */
export type Values = Float32Array | Int32Array

/** Something that belongs to the samples of a batch beside their values. */
export interface Field {
  /** Sample after sample, row-major. */
  values: Values
  /** With the batch in front: [N] for labels, [N, T] for a mask of tokens, [N, H, W] for one of images. */
  shape: readonly number[]
}

/** By name: labels, masks, lengths. A model's forward gets them as tensors under these names. */
export type Extras = Record<string, Field>

/** Samples of one shape that can be fetched by number. */
export interface Dataset<V extends Values = Float32Array> {
  readonly length: number
  /** Shape of one sample; of images [H, W, C], of token sequences [T]. */
  readonly shape: readonly number[]
  /** Of the samples' values: 'int32' where `batch` gives Int32Array. Default 'float32'. */
  readonly dtype?: 'float32' | 'int32'
  /**
   * The samples of these numbers one after another, row-major; of images [N, H, W, C], values 0..1. Memory of the caller's
   * own. Throws or rejects with VqConfigError for a number that has no sample.
   */
  batch(indices: Int32Array): V | Promise<V>
  /**
   * What belongs to the samples of these numbers beside their values: labels, masks, tokens, lengths. The names are the
   * same for every batch; memory of the caller's own. Throws or rejects as `batch` does.
   */
  extras?(indices: Int32Array): Extras | Promise<Extras>
  /** A name per item that stays the same from run to run. */
  readonly ids?: readonly string[]
  readonly captions?: readonly string[]
  readonly labels?: readonly string[]
}

/** The base of data sets: a subclass has a length and a shape and implements `read`. Numbers are checked here. */
export abstract class BaseDataset<V extends Values = Float32Array> implements Dataset<V> {
  abstract readonly length: number
  abstract readonly shape: readonly number[]

  /** Every number is one of a sample. */
  protected abstract read(indices: Int32Array): V | Promise<V>

  batch(indices: Int32Array): V | Promise<V> {
    expectIndices(`${this.constructor.name}.batch`, this, indices)
    return this.read(indices)
  }
}

/** Throws VqConfigError unless every number is one of a sample. */
export function expectIndices(
  operation: string,
  { length }: { readonly length: number },
  indices: Int32Array,
): void {
  const bad = indices.findIndex(i => !(i >= 0 && i < length))
  if (bad >= 0)
    throw new VqConfigError({
      operation,
      expected: `numbers of samples from 0 to ${length - 1}`,
      received: `${indices[bad]} at place ${bad}`,
      remedy: 'Ask for samples that the data set has.',
    })
}

/** Throws VqShapeError unless every field holds as many samples as its shape says, `count` of them. */
export function expectFields(operation: string, extras: Extras, count: number): void {
  for (const [name, field] of Object.entries(extras)) {
    const { values, shape } = field ?? {}
    const typed = values instanceof Float32Array || values instanceof Int32Array
    const sized = Array.isArray(shape) && shape[0] === count
    const size = sized ? shape.reduce((a, b) => a * b, 1) : -1
    expectShape(
      typed && sized && values.length === size,
      operation,
      `the field '${name}' as a Float32Array or Int32Array of shape [${count}, …]`,
      `${describe(values)}${Array.isArray(shape) ? ` and the shape [${shape.join(', ')}]` : ''}`,
      'Give values and shape of every sample in the batch, the batch in front.',
    )
  }
}
