import { expectInteger, expectShape, Random, VqConfigError } from '@vq/core'
import { type Dataset, type Extras, expectFields, type Values } from './dataset.js'

export { ArrayDataset } from './array-dataset.js'

export interface Batch<V extends Values = Float32Array> {
  /** The samples one after another. */
  values: V
  /** [B, ...dataset.shape] */
  shape: number[]
  /** The samples' numbers in the data set. */
  indices: Int32Array
  /** From 0. */
  epoch: number
  /** Whether the epoch ends with this batch. */
  last: boolean
  /** What the data set gives beside the values, each field with the batch in front. */
  extras?: Extras
}

export interface DataLoaderOptions {
  batchSize: number
  /** A new order each epoch. Default true. */
  shuffle?: boolean
  /** Default 0. */
  seed?: number
  /** Leave out the last batch of an epoch where it is smaller. Default true with shuffle, else false. */
  dropLast?: boolean
  /** How many batches are fetched while one is used, 0 to 64; they are in memory then. Changes no batch. Default 4. */
  prefetch?: number
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

/** A place in the data: samples of an epoch that come before it. */
interface Place {
  epoch: number
  position: number
}

/**
 * Batches of a data set, epoch after epoch, the next ones being fetched while one is used. The order of an epoch depends
 * on seed and epoch alone, so that a loader can go on from a state exactly; the state is what was given out, whatever
 * has been fetched ahead. What goes wrong with a batch is thrown by the call that wants it, and the next call tries again.
 *
 * @example
 * const loader = new DataLoader(dataset, { batchSize: 64, prefetch: 8 })
 * for await (const { values, shape } of loader) train(values, shape)   // one epoch
 */
export class DataLoader<V extends Values = Float32Array> {
  readonly dataset: Dataset<V>
  readonly batchSize: number
  readonly shuffle: boolean
  readonly dropLast: boolean
  readonly seed: number
  readonly prefetch: number
  private place: Place = { epoch: 0, position: 0 }
  private order: { epoch: number; indices: Int32Array } | undefined
  // Batches from `place` on, one after another.
  private queue: Promise<Batch<V>>[] = []
  // Where the queue ends.
  private end: Place = this.place
  private turn: Promise<unknown> = Promise.resolve()

  constructor(dataset: Dataset<V>, options: DataLoaderOptions) {
    const { batchSize, shuffle = true, seed = 0, dropLast = shuffle, prefetch = 4 } = options
    expectInteger('DataLoader', 'batchSize', batchSize, 1)
    expectInteger('DataLoader', 'seed', seed, 0)
    expectInteger('DataLoader', 'prefetch', prefetch, 0, 64)
    this.dataset = dataset
    this.batchSize = batchSize
    this.shuffle = shuffle
    this.dropLast = dropLast
    this.seed = seed
    this.prefetch = prefetch
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

  /**
   * The next batch; after the last one of an epoch the next epoch begins. `wanted`: how many more will be asked for at
   * most, so that none is fetched for nothing.
   */
  next(wanted: number = Number.POSITIVE_INFINITY): Promise<Batch<V>> {
    // Calls that overlap get one batch after another.
    const batch = this.turn.then(() => this.take(Math.min(wanted, this.prefetch)))
    this.turn = batch.catch(() => {})
    return batch
  }

  /** The batch that `next` would give, without going on. */
  async peek(): Promise<Batch<V>> {
    await this.turn
    this.fill(1)
    return this.head()
  }

  /** The rest of the current epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch<V>> {
    for (;;) {
      const left = Math.ceil((this.epochLength - this.place.position) / this.batchSize)
      const batch = await this.next(left - 1)
      yield batch
      if (batch.last) return
    }
  }

  private async take(ahead: number): Promise<Batch<V>> {
    this.fill(1 + ahead)
    const place = this.place
    const batch = await this.head()
    // A state set in the meantime has the last word.
    if (this.place === place) {
      this.queue.shift()
      this.place = this.after(place)
    }
    return batch
  }

  private fill(count: number): void {
    if (this.queue.length === 0) this.end = this.place
    while (this.queue.length < count) {
      const batch = this.fetch(this.end)
      batch.catch(() => {})
      this.queue.push(batch)
      this.end = this.after(this.end)
    }
  }

  private async head(): Promise<Batch<V>> {
    const { queue } = this
    try {
      return await queue[0]
    } catch (error) {
      // Fetched anew by whoever asks again.
      if (this.queue === queue) this.queue = []
      throw error
    }
  }

  private get epochLength(): number {
    return this.dropLast ? this.stepsPerEpoch * this.batchSize : this.dataset.length
  }

  private after({ epoch, position }: Place): Place {
    const next = position + this.batchSize
    return next < this.epochLength ? { epoch, position: next } : { epoch: epoch + 1, position: 0 }
  }

  private async fetch(place: Place): Promise<Batch<V>> {
    const { dataset, batchSize } = this
    const { epoch, position } = place
    const indices = this.orderOf(epoch).slice(position, Math.min(position + batchSize, this.epochLength))
    const [values, extras] = await Promise.all([dataset.batch(indices), dataset.extras?.(indices)])
    const shape = [indices.length, ...dataset.shape]
    const size = shape.reduce((a, b) => a * b, 1)
    const operation = 'DataLoader.next'
    expectShape(
      values.length === size,
      operation,
      `${size} values of samples [${shape}]`,
      `${values.length}`,
      "Make the data set's batch give what its shape says.",
    )
    const batch = { values, shape, indices, epoch, last: this.after(place).epoch > epoch }
    if (extras === undefined) return batch
    expectFields(operation, extras, indices.length)
    return { ...batch, extras }
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
    const { batchSize, shuffle, dropLast, seed } = this
    return { ...this.place, length: this.dataset.length, batchSize, shuffle, dropLast, seed }
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
    expectInteger('DataLoader.state', 'position', state.position, 0, this.epochLength - 1)
    this.place = { epoch: state.epoch, position: state.position }
    this.queue = []
  }
}
