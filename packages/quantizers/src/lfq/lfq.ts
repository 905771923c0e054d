import { lfqQuantize, lfqValues, type Random, type tf } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import type { RowsOutput } from '../base/quantizer.js'
import { LatticeQuantizer } from '../lattice/lattice-quantizer.js'
import { type LFQOptions, type LFQSettings, settingsOf } from './options.js'
import { draws, lfqLosses, onSphere, signs } from './terms.js'

/**
 * Lookup-free quantization: the sign of every dimension is a bit of the code; an entropy term makes each vector sure of its
 * code and the batch use all of them. `spherical: true` is binary spherical quantization. Equations stand in `terms.ts`.
 *
 * Losses: `commitment`, `entropy` (the mean over vectors of the entropy of their distributions over codes) and `diversity`
 * (minus the entropy of the mean distribution), all weighted, in nats. Vectors of log2(codebookSize) · numCodebooks numbers,
 * or of `dim` with linear layers around.
 *
 * @example
 * const lfq = new LFQ({ codebookSize: 1024, dim: 64 })
 * const { quantized, indices, losses } = lfq.forward(tf.zeros([2, 16, 64]))
 */
export class LFQ extends LatticeQuantizer {
  readonly options: LFQSettings

  constructor(options: LFQOptions) {
    expectOptions('LFQ', options, '{ codebookSize: 1024 }')
    const settings = settingsOf('LFQ', options)
    super('LFQ', settings.bits, 2 ** settings.bits, options)
    this.options = settings
  }

  protected quantizeCodes(z: tf.Tensor2D): RowsOutput {
    const { options, training, random, numCodebooks: codebooks } = this
    const u = onSphere(z, options)
    const { quantized, indices } = signs(z, u, options.scale)
    const losses = lfqLosses(u, quantized, options.scale, options, { codebooks, training, random })
    return { quantized, indices, losses }
  }

  protected encodeCodes(z: tf.Tensor2D): tf.Tensor {
    return lfqQuantize(z, this.options).indices
  }

  protected decodeCodes(indices: tf.Tensor): tf.Tensor2D {
    return lfqValues(indices, this.codeDim, this.options.scale) as tf.Tensor2D
  }

  override extraState(): unknown {
    return draws(this.options) ? { random: this.random.state } : undefined
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }
}
