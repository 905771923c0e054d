// Residual lookup-free quantization: LFQ (terms.ts) of what the levels before have left, as residual VQ (Zeghidour et al.
// 2021, https://arxiv.org/abs/2107.03312, algorithm 1) does, each level at half the scale of the one before:
//   r_0 = u,  q_i = s_i·sign(r_i),  s_i = s·2^−i,  r_{i+1} = r_i − q_i,  q = Σ q_i
// which are the digits of u in base 2 within ±2s. The gradient of q goes straight through to u, once.
import { expectInteger, lfqQuantize, lfqValues, noGrad, type Random, tf } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { meanLosses } from '../base/losses.js'
import { QuantizeDropout, type QuantizeDropoutOptions } from '../base/quantize-dropout.js'
import type { RowsOutput } from '../base/quantizer.js'
import { sumOfStages } from '../base/stages.js'
import { straightThrough } from '../estimators/straight-through.js'
import { LatticeQuantizer } from '../lattice/lattice-quantizer.js'
import { expectScales } from '../lattice/scales.js'
import { type LFQOptions, type LFQSettings, settingsOf } from './options.js'
import { draws, lfqLosses, onSphere } from './terms.js'

export interface ResidualLFQOptions extends Omit<LFQOptions, 'numCodebooks'>, QuantizeDropoutOptions {
  /** Stages, each with a code of its own. */
  numQuantizers: number
}

/**
 * Several stages of lookup-free quantization, each of what is left. Indices are [..., numQuantizers]. Losses are LFQ's, each
 * a mean over the stages in use; commitment draws every stage's residual to its code.
 *
 * @example
 * const lfq = new ResidualLFQ({ codebookSize: 256, numQuantizers: 4, dim: 64 })
 */
export class ResidualLFQ extends LatticeQuantizer {
  readonly options: LFQSettings
  readonly numQuantizers: number
  private readonly dropout: QuantizeDropout

  constructor(options: ResidualLFQOptions) {
    expectOptions('ResidualLFQ', options, '{ codebookSize: 256, numQuantizers: 4 }')
    const { numQuantizers } = options
    const settings = settingsOf('ResidualLFQ', { ...options, numCodebooks: 1 })
    expectInteger('ResidualLFQ', 'numQuantizers', numQuantizers, 1)
    const { bits } = settings
    super('ResidualLFQ', bits, 2 ** bits, { ...options, numCodebooks: 1 }, { stages: numQuantizers })
    expectScales('ResidualLFQ', 2, numQuantizers, settings.scale)
    this.options = settings
    this.numQuantizers = numQuantizers
    this.dropout = new QuantizeDropout('ResidualLFQ', numQuantizers, options, this.random)
  }

  private scaleOf(stage: number): number {
    return this.options.scale * 2 ** -stage
  }

  protected quantizeCodes(z: tf.Tensor2D): RowsOutput {
    const { options, training, random } = this
    const u = onSphere(z, options)
    const kept = this.dropout.draw(training)
    const { parts, sum, indices } = noGrad(() => this.stages(u, kept))
    let rest = u
    const losses = parts.map((q, i) => {
      const level = lfqLosses(rest, q, this.scaleOf(i), options, { codebooks: 1, training, random })
      rest = tf.sub(rest, q)
      return level
    })
    return { quantized: straightThrough(u, sum), indices, losses: meanLosses(losses) }
  }

  protected encodeCodes(z: tf.Tensor2D): tf.Tensor {
    return this.stages(onSphere(z, this.options), this.numQuantizers).indices
  }

  private stages(
    u: tf.Tensor2D,
    kept: number,
  ): { parts: tf.Tensor2D[]; sum: tf.Tensor2D; indices: tf.Tensor } {
    const indices: tf.Tensor[] = []
    const parts: tf.Tensor2D[] = []
    let rest = u
    for (let i = 0; i < kept; i++) {
      const level = lfqQuantize(rest, { scale: this.scaleOf(i) })
      const part = level.quantized as tf.Tensor2D
      indices.push(level.indices)
      parts.push(part)
      rest = tf.sub(rest, part)
    }
    while (indices.length < this.numQuantizers) indices.push(tf.fill([u.shape[0]], -1, 'int32'))
    const sum = parts.reduce((a, b) => tf.add(a, b))
    return { parts, sum, indices: tf.stack(indices, 1) }
  }

  protected decodeCodes(indices: tf.Tensor): tf.Tensor2D {
    return sumOfStages(
      indices,
      (stage, codes) => lfqValues(codes, this.codeDim, this.scaleOf(stage)) as tf.Tensor2D,
    )
  }

  override extraState(): unknown {
    return draws(this.options) || this.dropout.on ? { random: this.random.state } : undefined
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }
}
