// Hsu et al. 2023, "Disentanglement via latent quantization", https://arxiv.org/abs/2305.18378, section 3:
//   z_j becomes the nearest of its own values V_j = (v_j1 … v_jL)                                     (equation 1)
//   L = λ_q·‖sg(z) − q‖² + λ_c·‖z − sg(q)‖², as means over all elements; q's gradient goes straight through to z
// The first term moves the values, the second the vectors.
import { codesOfLevels, detach, expectNumber, meanSquaredError, noGrad, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { expectOptions } from '../base/expect-options.js'
import type { RowsOutput } from '../base/quantizer.js'
import { straightThrough } from '../estimators/straight-through.js'
import { type LatticeOptions, LatticeQuantizer } from '../lattice/lattice-quantizer.js'

export interface LatentQuantizerOptions extends LatticeOptions {
  /** Values of each dimension, each at least 2; their product is the number of codes, below 2^31. */
  levels: readonly number[]
  /** λ_c, the weight of ‖z − sg(q)‖². Default 0.1. */
  commitmentCost?: number
  /** λ_q, the weight of ‖sg(z) − q‖², which moves the values. Default 0.1. */
  quantizationCost?: number
}

/** The values of each dimension, by their PyTorch names '0', '1', … */
class Values extends Module {
  readonly of: readonly tf.Variable<tf.Rank.R1>[]

  constructor(levels: readonly number[]) {
    super()
    // −½ … ½ in equal steps.
    const start = (l: number): tf.Tensor1D =>
      tf.tensor1d(Array.from({ length: l }, (_, i) => i / (l - 1) - 0.5))
    this.of = levels.map((l, d) => this.addParameter(String(d), start(l)))
  }
}

/**
 * Latent quantization: every dimension has a few learnable values of its own, shared by all codes, and takes the nearest; a
 * tie goes to the first. The code of levels ℓ is Σ ℓ_i·Π_{j<i} L_j. With several codebooks all share the values.
 *
 * Losses: `commitment` and `quantization`, weighted. Parameters: `values_per_latent.0` [L_0] and so on.
 *
 * @example
 * const quantizer = new LatentQuantizer({ levels: [5, 5, 8], dim: 16 })
 */
export class LatentQuantizer extends LatticeQuantizer {
  readonly levels: readonly number[]
  private readonly values: Values
  private readonly commitmentCost: number
  private readonly quantizationCost: number

  constructor(options: LatentQuantizerOptions) {
    expectOptions('LatentQuantizer', options, '{ levels: [5, 5, 8] }')
    const { levels, commitmentCost = 0.1, quantizationCost = 0.1 } = options
    const size = codesOfLevels('LatentQuantizer', levels)
    super('LatentQuantizer', levels.length, size, options)
    expectNumber('LatentQuantizer', 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
    expectNumber('LatentQuantizer', 'quantizationCost', quantizationCost, 0, Number.MAX_VALUE)
    this.levels = [...levels]
    this.commitmentCost = commitmentCost
    this.quantizationCost = quantizationCost
    this.values = this.addModule('values_per_latent', new Values(levels))
  }

  protected quantizeCodes(z: tf.Tensor2D): RowsOutput {
    const levels = noGrad(() => this.nearest(z))
    const q = this.gather(levels)
    const losses: Record<string, tf.Scalar> = {}
    if (this.commitmentCost > 0)
      losses.commitment = tf.mul(meanSquaredError(z, detach(q)), this.commitmentCost)
    if (this.quantizationCost > 0)
      losses.quantization = tf.mul(meanSquaredError(q, detach(z)), this.quantizationCost)
    return { quantized: straightThrough(z, detach(q)), indices: noGrad(() => this.codesOf(levels)), losses }
  }

  protected encodeCodes(z: tf.Tensor2D): tf.Tensor {
    return this.codesOf(this.nearest(z))
  }

  protected decodeCodes(indices: tf.Tensor): tf.Tensor2D {
    const codes = indices.dataSync()
    let basis = 1
    const levels = this.levels.map(l => {
      const below = basis
      basis *= l
      return tf.tensor1d(
        Int32Array.from(codes, c => Math.floor(c / below) % l),
        'int32',
      )
    })
    return this.gather(levels)
  }

  // The level of every dimension, [M] each: subtraction and comparison of float32, the same bits on every backend. Numbers
  // beyond the outermost values are taken there first: of very large ones the differences would be alike.
  private nearest(z: tf.Tensor2D): tf.Tensor1D[] {
    return this.values.of.map((values, d) => {
      const own = tf.slice(z, [0, d], [z.shape[0], 1]) // [M, 1]
      const within = tf.maximum(tf.minimum(own, tf.max(values)), tf.min(values))
      return tf.argMin(tf.abs(tf.sub(within, values)), 1) as tf.Tensor1D
    })
  }

  private gather(levels: tf.Tensor1D[]): tf.Tensor2D {
    return tf.stack(
      levels.map((level, d) => tf.gather(this.values.of[d], level)),
      1,
    ) as tf.Tensor2D
  }

  private codesOf(levels: tf.Tensor1D[]): tf.Tensor {
    const all = levels.map(level => level.dataSync())
    const codes = Int32Array.from(all[0], (_, i) => {
      let code = 0
      for (let d = all.length - 1; d >= 0; d--) code = code * this.levels[d] + all[d][i]
      return code
    })
    return tf.tensor1d(codes, 'int32')
  }
}
