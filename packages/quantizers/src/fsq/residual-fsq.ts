// Residual finite scalar quantization: FSQ (https://arxiv.org/abs/2309.15505) of what the levels before have left, as
// residual VQ (Zeghidour et al. 2021, https://arxiv.org/abs/2107.03312, algorithm 1) does, each level on a finer scale:
//   r_0 = bound(z),  q_i = s_i·round(r_i / s_i),  s_i = B^−i,  r_{i+1} = r_i − q_i,  q = Σ q_i
// where round takes the nearest of the values of the levels. What is left is bounded already: another tanh would squeeze it,
// and its outer parts would never be met. B = L, as many parts as a stage makes of its range; with an even number of the
// original levels, which reach less far upwards, L − 1, but at least 2.
// q stands for bound(z): its gradient goes straight through to the bound, once, however many levels there are.
import {
  codesOfLevels,
  expectInteger,
  expectNumber,
  type FsqBound,
  fsqBounded,
  fsqQuantize,
  fsqValues,
  noGrad,
  type Random,
  tf,
} from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { QuantizeDropout, type QuantizeDropoutOptions } from '../base/quantize-dropout.js'
import type { RowsOutput } from '../base/quantizer.js'
import { sumOfStages } from '../base/stages.js'
import { straightThrough } from '../estimators/straight-through.js'
import { type LatticeOptions, LatticeQuantizer } from '../lattice/lattice-quantizer.js'
import { expectScales } from '../lattice/scales.js'
import { levelSteps } from './levels.js'
import { withNoise } from './noise.js'

export interface ResidualFSQOptions extends Omit<LatticeOptions, 'numCodebooks'>, QuantizeDropoutOptions {
  /** Levels of each dimension, the same at every stage. */
  levels: readonly number[]
  /** Stages, each with a code of its own. */
  numQuantizers: number
  /** Default 'original'. */
  bound?: FsqBound
  /**
   * Probability with which, in training, a number is not rounded but moved by uniform noise of up to half a level of the last
   * stage that is kept, in [0, 1]. Its codes are those of the rounded one. Default 0.
   */
  noiseDropout?: number
}

/**
 * Several stages of finite scalar quantization, each of what is left of the bounded vector. Indices are
 * [..., numQuantizers].
 *
 * @example
 * const fsq = new ResidualFSQ({ levels: [8, 5, 5], numQuantizers: 4, dim: 64 })
 */
export class ResidualFSQ extends LatticeQuantizer {
  readonly levels: readonly number[]
  readonly bound: FsqBound
  readonly numQuantizers: number
  readonly noiseDropout: number
  private readonly dropout: QuantizeDropout
  // float32 [D] per stage.
  private readonly scales: Float32Array[]

  constructor(options: ResidualFSQOptions) {
    expectOptions('ResidualFSQ', options, '{ levels: [8, 5, 5, 5], numQuantizers: 4 }')
    const { levels, numQuantizers, bound = 'original', noiseDropout = 0 } = options
    const size = codesOfLevels('ResidualFSQ', levels, bound)
    expectInteger('ResidualFSQ', 'numQuantizers', numQuantizers, 1)
    super('ResidualFSQ', levels.length, size, { ...options, numCodebooks: 1 }, { stages: numQuantizers })
    expectNumber('ResidualFSQ', 'noiseDropout', noiseDropout, 0, 1)
    this.noiseDropout = noiseDropout
    this.numQuantizers = numQuantizers
    this.levels = [...levels]
    this.bound = bound
    this.dropout = new QuantizeDropout('ResidualFSQ', numQuantizers, options, this.random)
    const bases = levels.map(l => (bound === 'symmetric' || l % 2 === 1 ? l : Math.max(2, l - 1)))
    expectScales('ResidualFSQ', Math.max(...bases), numQuantizers)
    // Powers by exact products: Math.pow may differ between engines.
    const powers = levels.map(() => 1)
    this.scales = Array.from({ length: numQuantizers }, () => {
      const scale = Float32Array.from(powers, p => 1 / p)
      for (const [d, base] of bases.entries()) powers[d] *= base
      return scale
    })
  }

  protected quantizeCodes(z: tf.Tensor2D): RowsOutput {
    const bounded = fsqBounded(z, this) as tf.Tensor2D
    const kept = this.dropout.draw(this.training)
    const { sum, indices } = noGrad(() => this.stages(z, bounded, kept))
    if (!this.training || this.noiseDropout === 0)
      return { quantized: straightThrough(bounded, sum), indices, losses: {} }
    const { noiseDropout: rate, random: generator, levels, bound } = this
    const steps = levelSteps(levels, bound).map((step, d) => step * this.scales[kept - 1][d])
    const noisy = noGrad(() => withNoise(bounded, sum, { rate, steps, generator }))
    return { quantized: straightThrough(bounded, noisy), indices, losses: {} }
  }

  protected encodeCodes(z: tf.Tensor2D): tf.Tensor {
    return this.stages(z, fsqBounded(z, this) as tf.Tensor2D, this.numQuantizers).indices
  }

  private stages(
    z: tf.Tensor2D,
    bounded: tf.Tensor2D,
    kept: number,
  ): { sum: tf.Tensor2D; indices: tf.Tensor } {
    const indices: tf.Tensor[] = []
    let rest = bounded
    let sum: tf.Tensor2D | undefined
    for (let i = 0; i < kept; i++) {
      const scale = tf.tensor1d(this.scales[i])
      const codes = i === 0 ? fsqQuantize(z, this).indices : this.nearest(tf.div(rest, scale))
      indices.push(codes)
      const part = tf.mul<tf.Tensor2D>(fsqValues(codes, this), scale)
      rest = tf.sub(rest, part)
      sum = sum === undefined ? part : tf.add(sum, part)
    }
    while (indices.length < this.numQuantizers) indices.push(tf.fill([bounded.shape[0]], -1, 'int32'))
    return { sum: sum as tf.Tensor2D, indices: tf.stack(indices, 1) }
  }

  // Codes of the nearest values; products, sums and roundings of float32, the same bits on every backend.
  private nearest(x: tf.Tensor2D): tf.Tensor {
    const { levels, bound } = this
    const symmetric = bound === 'symmetric'
    const steps = tf.tensor1d(levels.map(l => (symmetric ? (l - 1) / 2 : Math.floor(l / 2))))
    const scaled = tf.mul(x, steps)
    const level = symmetric ? tf.round(tf.add(scaled, steps)) : tf.add(tf.round(scaled), steps)
    const inside = tf.minimum(tf.maximum(level, 0), tf.tensor1d(levels.map(l => l - 1)))
    const basis = levels.map((_, i) => levels.slice(0, i).reduce((a, b) => a * b, 1))
    const digits = tf.mul(tf.cast(inside, 'int32'), tf.tensor1d(basis, 'int32'))
    return tf.cast(tf.sum(digits, 1), 'int32')
  }

  protected decodeCodes(indices: tf.Tensor): tf.Tensor2D {
    return sumOfStages(indices, (stage, codes) =>
      tf.mul<tf.Tensor2D>(fsqValues(codes, this), tf.tensor1d(this.scales[stage])),
    )
  }

  override extraState(): unknown {
    return this.dropout.on || this.noiseDropout > 0 ? { random: this.random.state } : undefined
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }
}
