import { expectInteger, type Random } from '@vq/core'

export interface QuantizerDropoutOptions {
  /** Whether, in training, a random number of the last levels is left out of a batch; their indices are −1. Default false. */
  quantizerDropout?: boolean
  /** Levels up to this one, counted from 0, are never left out. Default 0. */
  quantizerDropoutCutoffIndex?: number
}

/** Levels that a batch uses: all, or in training a random number of the first ones. */
export class QuantizerDropout {
  readonly on: boolean
  private readonly cutoff: number
  private readonly levels: number
  private readonly random: Random

  constructor(operation: string, levels: number, options: QuantizerDropoutOptions, random: Random) {
    const { quantizerDropout = false, quantizerDropoutCutoffIndex = 0 } = options
    expectInteger(operation, 'quantizerDropoutCutoffIndex', quantizerDropoutCutoffIndex, 0, levels - 1)
    this.on = quantizerDropout
    this.cutoff = quantizerDropoutCutoffIndex
    this.levels = levels
    this.random = random
  }

  /** From cutoff + 1 to all, every number equally likely. */
  draw(training: boolean): number {
    if (!training || !this.on) return this.levels
    return this.cutoff + 1 + this.random.integer(this.levels - this.cutoff)
  }
}
