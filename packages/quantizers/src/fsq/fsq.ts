// Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple", https://arxiv.org/abs/2309.15505.
//   bound(z) = tanh(z + tan(o/h))·h − o,  h = (L − 1)(1 − 10⁻³)/2,  o = ½ for even L, else 0      (appendix A.1)
//   q = round(bound(z)) / ⌊L/2⌋,  ∂q/∂z = ∂bound/∂z / ⌊L/2⌋: straight through the rounding alone    (section 3.1)
// Parker et al. 2024, "Scaling transformers for low-bitrate high-quality speech coding", https://arxiv.org/abs/2411.19842:
//   q = 2/(L − 1)·round((L − 1)(tanh(z) + 1)/2) − 1, symmetric about 0 for any L                      (section 3.2)
//   in training, at random places, tanh(z) + U(−1, 1)/(L − 1) instead
import {
  codesOfLevels,
  expectNumber,
  type FsqBound,
  fsqBounded,
  fsqQuantize,
  fsqValues,
  noGrad,
  type Random,
  type tf,
} from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import type { RowsOutput } from '../base/quantizer.js'
import { straightThrough } from '../estimators/straight-through.js'
import { type LatticeOptions, LatticeQuantizer } from '../lattice/lattice-quantizer.js'
import { levelSteps } from './levels.js'
import { withNoise } from './noise.js'

export interface FSQOptions extends LatticeOptions {
  /** Levels of each dimension, each at least 2; their product is the number of codes, below 2^31. */
  levels: readonly number[]
  /** Default 'original'; 'symmetric' keeps the levels symmetric about 0. */
  bound?: FsqBound
  /**
   * Probability with which, in training, a number is not rounded but moved by uniform noise of up to half a level, in
   * [0, 1]. Its code is that of the rounded one. Default 0.
   */
  noiseDropout?: number
}

/**
 * Finite scalar quantization: every dimension is bounded by tanh and rounded (half to even) to one of a few levels, and a
 * code names a level of each. There is nothing to learn and no loss. Vectors of levels.length · numCodebooks numbers, or of
 * `dim` with linear layers around.
 *
 * @example
 * const fsq = new FSQ({ levels: [8, 5, 5, 5] }) // 1,000 codes of 4 numbers
 * const { quantized, indices } = fsq.forward(tf.zeros([2, 16, 4]))
 */
export class FSQ extends LatticeQuantizer {
  readonly levels: readonly number[]
  readonly bound: FsqBound
  readonly noiseDropout: number

  constructor(options: FSQOptions) {
    expectOptions('FSQ', options, '{ levels: [8, 5, 5, 5] }')
    const { levels, bound = 'original', noiseDropout = 0 } = options
    const size = codesOfLevels('FSQ', levels, bound)
    super('FSQ', levels.length, size, options)
    expectNumber('FSQ', 'noiseDropout', noiseDropout, 0, 1)
    this.levels = [...levels]
    this.bound = bound
    this.noiseDropout = noiseDropout
  }

  protected quantizeCodes(z: tf.Tensor2D): RowsOutput {
    const { quantized, indices } = fsqQuantize(z, this) as { quantized: tf.Tensor2D; indices: tf.Tensor }
    if (!this.training || this.noiseDropout === 0) return { quantized, indices, losses: {} }
    const { noiseDropout: rate, random: generator } = this
    const steps = levelSteps(this.levels, this.bound)
    const noisy = noGrad(() =>
      withNoise(fsqBounded(z, this) as tf.Tensor2D, quantized, { rate, steps, generator }),
    )
    return { quantized: straightThrough(quantized, noisy), indices, losses: {} }
  }

  protected encodeCodes(z: tf.Tensor2D): tf.Tensor {
    return fsqQuantize(z, this).indices
  }

  protected decodeCodes(indices: tf.Tensor): tf.Tensor2D {
    return fsqValues(indices, this) as tf.Tensor2D
  }

  override extraState(): unknown {
    return this.noiseDropout === 0 ? undefined : { random: this.random.state }
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }
}
