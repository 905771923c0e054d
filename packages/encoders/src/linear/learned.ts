import { expectConfig, expectInteger, type Random, tf } from '@vq/core'
import { Linear } from '@vq/core/nn'
import { BaseDecoder } from '../base/decoder.js'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'

export interface LinearEncoderOptions {
  /** Shape of an input, [H, W, C] of images or [D] of vectors. */
  inputDim: readonly number[]
  /** Default 256. */
  embeddingDim?: number
  /** Default true. */
  bias?: boolean
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** Sizes of the axes and their product. */
export function flatSize(name: string, dim: unknown): number {
  const fits = Array.isArray(dim) && dim.length > 0 && dim.every(n => Number.isInteger(n) && n >= 1)
  expectConfig(fits, name, 'inputDim to be sizes', dim, 'Pass [H, W, C] of images or [D] of vectors.')
  return (dim as number[]).reduce((product, n) => product * n, 1)
}

/** One linear layer over the whole input, [B, ...inputDim] → [B, embeddingDim]. Throws VqConfigError for options out of range. */
export class LearnedLinearEncoder extends BaseEncoder {
  readonly inputShape: readonly number[]
  readonly embeddingDim: number
  private readonly linear: Linear

  constructor(options: LinearEncoderOptions) {
    super()
    expectOptions('LearnedLinearEncoder', options, 'inputDim')
    const { inputDim, embeddingDim = 256, bias = true, random } = options
    const inFeatures = flatSize('LearnedLinearEncoder', inputDim)
    expectInteger('LearnedLinearEncoder', 'embeddingDim', embeddingDim, 1)
    this.inputShape = [...inputDim]
    this.embeddingDim = embeddingDim
    this.linear = this.addModule(
      'linear',
      new Linear({
        ...{ inFeatures, outFeatures: embeddingDim, bias },
        ...(inputDim.length > 1 ? { flattenedFrom: inputDim } : {}),
        ...(random && { random }),
      }),
    )
  }

  protected encode(x: tf.Tensor): EncoderOutput {
    const flat = tf.reshape(x, [x.shape[0]!, -1])
    return { embedding: this.linear.forward(flat) as tf.Tensor2D }
  }
}

/** The way back, one linear layer [B, embeddingDim] → [B, ...inputDim]. Throws VqConfigError for options out of range. */
export class LearnedLinearDecoder extends BaseDecoder {
  readonly inputShape: readonly number[]
  readonly outputShape: readonly number[]
  private readonly linear: Linear

  constructor(options: LinearEncoderOptions) {
    super()
    expectOptions('LearnedLinearDecoder', options, 'inputDim')
    const { inputDim, embeddingDim = 256, bias = true, random } = options
    const outFeatures = flatSize('LearnedLinearDecoder', inputDim)
    expectInteger('LearnedLinearDecoder', 'embeddingDim', embeddingDim, 1)
    this.inputShape = [embeddingDim]
    this.outputShape = [...inputDim]
    this.linear = this.addModule(
      'linear',
      new Linear({
        ...{ inFeatures: embeddingDim, outFeatures, bias },
        ...(inputDim.length > 1 ? { unflattenedTo: inputDim } : {}),
        ...(random && { random }),
      }),
    )
  }

  protected decode(z: tf.Tensor): tf.Tensor {
    return tf.reshape(this.linear.forward(z), [z.shape[0]!, ...this.outputShape])
  }
}
