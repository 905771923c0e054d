import { expectShape } from '@vq/core'

/** Mean squared error over all elements of two equally long arrays. @throws VqShapeError when lengths differ or are 0. */
export function mse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return new SquaredError('mse').add(actual, expected).mse
}

/**
 * Peak signal-to-noise ratio in dB, `10·log10(peak² / mse)`, from one mean over all elements of the set (not a mean of
 * per-image figures). Infinity where nothing differs.
 */
export function psnr(actual: ArrayLike<number>, expected: ArrayLike<number>, peak = 1): number {
  return new SquaredError('psnr', peak).add(actual, expected).psnr
}

/** Sums squared errors over batches, so that a set of any size is measured without holding its reconstructions. */
export class SquaredError {
  readonly #operation: string
  readonly #peak: number
  #sum = 0
  #count = 0

  constructor(operation = 'SquaredError', peak = 1) {
    this.#operation = operation
    this.#peak = peak
  }

  add(actual: ArrayLike<number>, expected: ArrayLike<number>): this {
    expectShape(
      actual.length === expected.length && actual.length > 0,
      this.#operation,
      'two arrays of the same length, at least 1',
      `lengths ${actual.length} and ${expected.length}`,
      'Pass reconstructions beside the images they came from.',
    )
    let sum = 0
    for (let i = 0; i < actual.length; i++) {
      const difference = actual[i]! - expected[i]!
      sum += difference * difference
    }
    this.#sum += sum
    this.#count += actual.length
    return this
  }

  /** Elements seen so far. */
  get count(): number {
    return this.#count
  }
  /** NaN before the first batch. */
  get mse(): number {
    return this.#sum / this.#count
  }
  /** In dB; NaN before the first batch. */
  get psnr(): number {
    return 10 * Math.log10((this.#peak * this.#peak) / this.mse)
  }
}
