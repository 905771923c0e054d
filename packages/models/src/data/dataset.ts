import { VqConfigError } from '@vq/core'

/** Samples of one shape that can be fetched by number. */
export interface Dataset {
  readonly length: number
  /** Shape of one sample; of images [H, W, C]. */
  readonly shape: readonly number[]
  /**
   * The samples of these numbers one after another, row-major; of images [N, H, W, C], values 0..1. Memory of the caller's
   * own. Throws or rejects with VqConfigError for a number that has no sample.
   */
  batch(indices: Int32Array): Float32Array | Promise<Float32Array>
  /** A name per item that stays the same from run to run. */
  readonly ids?: readonly string[]
  readonly captions?: readonly string[]
  readonly labels?: readonly string[]
}

/** The base of data sets: a subclass has a length and a shape and implements `read`. Numbers are checked here. */
export abstract class BaseDataset implements Dataset {
  abstract readonly length: number
  abstract readonly shape: readonly number[]

  /** Every number is one of a sample. */
  protected abstract read(indices: Int32Array): Float32Array | Promise<Float32Array>

  batch(indices: Int32Array): Float32Array | Promise<Float32Array> {
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
