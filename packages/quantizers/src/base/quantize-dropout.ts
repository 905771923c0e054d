import { expectInteger, expectNumber, type Random } from '@vq/core'

export interface QuantizeDropoutOptions {
  /**
   * Probability that a training batch keeps only its first levels, every number equally likely; the indices of the others
   * are −1 (Zeghidour et al. 2021, SoundStream, https://arxiv.org/abs/2107.03312, section III-C). Default 0.
   */
  quantizeDropout?: number
  /** The least number of levels that quantizeDropout keeps. Default 1. */
  quantizeDropoutMin?: number
}

/** How many levels a batch uses. */
export class QuantizeDropout {
  /** Whether random numbers are drawn in training. */
  readonly on: boolean
  private readonly probability: number
  private readonly least: number
  private readonly levels: number
  private readonly random: Random

  constructor(operation: string, levels: number, options: QuantizeDropoutOptions, random: Random) {
    const { quantizeDropout = 0, quantizeDropoutMin = 1 } = options
    expectNumber(operation, 'quantizeDropout', quantizeDropout, 0, 1)
    expectInteger(operation, 'quantizeDropoutMin', quantizeDropoutMin, 1, levels)
    this.on = quantizeDropout > 0
    this.probability = quantizeDropout
    this.least = quantizeDropoutMin
    this.levels = levels
    this.random = random
  }

  draw(training: boolean): number {
    if (!training || !this.on || this.random.uniform() >= this.probability) return this.levels
    return this.least + this.random.integer(this.levels - this.least + 1)
  }
}
