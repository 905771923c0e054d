import { expectInteger, Random, VqConfigError } from '@vq/core'
import { BaseDataset, type Dataset } from './dataset.js'

export interface Batch {
  /** The samples one after another. */
  values: Float32Array
  /** [B, ...dataset.shape] */
  shape: number[]
  /** The samples' numbers in the data set. */
  indices: Int32Array
  /** From 0. */
  epoch: number
  /** Whether the epoch ends with this batch. */
  last: boolean
}

export interface DataLoaderOptions {
  batchSize: number
  /** A new order each epoch. Default true. */
  shuffle?: boolean
  /** Default 0. */
  seed?: number
  /** Leave out the last batch of an epoch where it is smaller. Default true with shuffle, else false. */
  dropLast?: boolean
}

/** Where a loader stands: plain JSON. The rest must agree when it is loaded. */
export interface DataLoaderState {
  epoch: number
  /** Samples of the epoch that were given out. */
  position: number
  length: number
  batchSize: number
  shuffle: boolean
  dropLast: boolean
  seed: number
}

/**
 * Batches of a data set, epoch after epoch, the next one being fetched while one is used. The order of an epoch depends
 * on seed and epoch alone, so that a loader can go on from a state exactly.
 */
export class DataLoader {
  readonly dataset: Dataset
  readonly batchSize: number
  readonly shuffle: boolean
  readonly dropLast: boolean
  readonly seed: number
  private epoch = 0
  private position = 0
  private order: { epoch: number; indices: Int32Array } | undefined
  private ahead: { epoch: number; position: number; batch: Promise<Batch> } | undefined

  constructor(dataset: Dataset, options: DataLoaderOptions) {
    const { batchSize, shuffle = true, seed = 0, dropLast = shuffle } = options
    expectInteger('DataLoader', 'batchSize', batchSize, 1)
    expectInteger('DataLoader', 'seed', seed, 0)
    this.dataset = dataset
    this.batchSize = batchSize
    this.shuffle = shuffle
    this.dropLast = dropLast
    this.seed = seed
    if (this.stepsPerEpoch === 0)
      throw new VqConfigError({
        operation: 'DataLoader',
        expected: `at least ${dropLast ? batchSize : 1} samples`,
        received: `${dataset.length}`,
        remedy: 'Use more data, a smaller batchSize, or dropLast: false.',
      })
  }

  get stepsPerEpoch(): number {
    const batches = this.dataset.length / this.batchSize
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches)
  }

  /** The next batch; after the last one of an epoch the next epoch begins. */
  async next(): Promise<Batch> {
    const batch = await this.fetch(this.epoch, this.position)
    this.ahead = undefined
    if (batch.last) {
      this.epoch++
      this.position = 0
    } else this.position += batch.indices.length
    const upcoming = { epoch: this.epoch, position: this.position }
    const ahead = this.fetch(upcoming.epoch, upcoming.position)
    // Its failure is reported by the call that wants it.
    ahead.catch(() => {})
    this.ahead = { ...upcoming, batch: ahead }
    return batch
  }

  /** The batch that `next` would give, without going on. */
  async peek(): Promise<Batch> {
    return this.fetch(this.epoch, this.position)
  }

  /** The rest of the current epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    for (;;) {
      const batch = await this.next()
      yield batch
      if (batch.last) return
    }
  }

  private async fetch(epoch: number, position: number): Promise<Batch> {
    const { ahead } = this
    if (ahead !== undefined && ahead.epoch === epoch && ahead.position === position) return ahead.batch
    const { dataset, batchSize, dropLast } = this
    const indices = this.orderOf(epoch).slice(position, position + batchSize)
    const values = await dataset.batch(indices)
    const after = dataset.length - position - indices.length
    const last = after < (dropLast ? batchSize : 1)
    return { values, shape: [indices.length, ...dataset.shape], indices, epoch, last }
  }

  private orderOf(epoch: number): Int32Array {
    if (this.order?.epoch !== epoch) {
      const { length } = this.dataset
      const indices = this.shuffle
        ? new Random(this.seed, epoch).permutation(length)
        : Int32Array.from({ length }, (_, i) => i)
      this.order = { epoch, indices }
    }
    return this.order.indices
  }

  get state(): DataLoaderState {
    const { epoch, position, batchSize, shuffle, dropLast, seed } = this
    return { epoch, position, length: this.dataset.length, batchSize, shuffle, dropLast, seed }
  }

  set state(state: DataLoaderState) {
    const own = this.state
    for (const key of ['length', 'batchSize', 'shuffle', 'dropLast', 'seed'] as const)
      if (state[key] !== own[key])
        throw new VqConfigError({
          operation: 'DataLoader.state',
          expected: `the state of a loader with ${key} ${own[key]}`,
          received: `one with ${key} ${state[key]}`,
          remedy: 'Build the loader with the data and options that the state comes from.',
        })
    expectInteger('DataLoader.state', 'epoch', state.epoch, 0)
    expectInteger('DataLoader.state', 'position', state.position, 0, own.length - 1)
    this.epoch = state.epoch
    this.position = state.position
    this.ahead = undefined
  }
}

/** Samples that are already in memory, one after another. */
export class ArrayDataset extends BaseDataset {
  readonly length: number
  readonly shape: readonly number[]
  private readonly values: Float32Array

  constructor(values: Float32Array, shape: readonly number[]) {
    super()
    const size = shape.reduce((a, b) => a * b, 1)
    if (size === 0 || values.length % size !== 0)
      throw new VqConfigError({
        operation: 'ArrayDataset',
        expected: `values of whole samples [${shape.join(', ')}]`,
        received: `${values.length} values`,
        remedy: 'Pass the shape of one sample.',
      })
    this.values = values
    this.shape = shape
    this.length = values.length / size
  }

  protected read(indices: Int32Array): Float32Array {
    const size = this.values.length / this.length
    const out = new Float32Array(indices.length * size)
    for (const [i, sample] of indices.entries())
      out.set(this.values.subarray(sample * size, (sample + 1) * size), i * size)
    return out
  }
}
