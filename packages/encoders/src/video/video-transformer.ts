import { expectInteger, expectNumber, expectShape, type Random, tf } from '@vq/core'
import { Dropout, init, LayerNorm, Linear, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncodeOptions, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { flagsOf, pooledTokens } from '../text/pooling.js'
import { EncoderLayer } from '../transformer/index.js'
import { VisionTransformerEncoder } from '../vit/index.js'
import { videoDim } from './video-dim.js'

export interface VideoTransformerOptions {
  /** [T, H, W, C] of the videos; T is the largest number of frames, H and W are what positions are learned for. */
  inputDim: readonly number[]
  /** Default 256. */
  embeddingDim?: number
  /** Edge of a patch in pixels, or [height, width]. Default 16. */
  patchSize?: number | readonly [number, number]
  /** Frames that make one: with more than 1 patches are tubelets, and time passes in steps of this many frames. Default 1. */
  tubeletSize?: number
  /** Width of the tokens, a multiple of numHeads. Default: embeddingDim. */
  hiddenDim?: number
  /** Of the transformer within each frame. Default 6. */
  numLayers?: number
  /** Of the transformer over time. Default 6. */
  temporalLayers?: number
  /** Of both. Default 8. */
  numHeads?: number
  /** Width inside the feed-forward parts over hiddenDim. Default 4. */
  mlpRatio?: number
  /** Default 0.1. */
  dropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

/**
 * A Vision Transformer for each frame, a transformer over the frames' class tokens and the mean over time: videos
 * [B, T, H, W, C] → an embedding [B, embeddingDim] and one vector per frame [B, T/tubeletSize, hiddenDim]. With a
 * `tubeletSize` above 1 frames are taken together in groups of that many, each patch reaching through all of its group.
 * Frames that a mask leaves out are black in their group, and groups without a frame take part in nothing.
 * Throws VqConfigError for options out of range, VqShapeError for more frames than inputDim's, or frames that fill no group.
 * Source: Arnab et al. 2021, https://arxiv.org/abs/2103.15691, section 3.3, model 2; tubelets: section 3.2.
 *
 * @example
 * const encoder = new VideoTransformerEncoder({ inputDim: [16, 32, 32, 3], patchSize: 8 })
 * const { embedding, sequence } = encoder.forward(videos)   // [B, 256], [B, 16, 256]
 */
export class VideoTransformerEncoder extends BaseEncoder {
  override readonly takesMask = true
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  readonly tubeletSize: number
  /** The largest number of frames. */
  readonly maxFrames: number
  readonly frames: VisionTransformerEncoder
  readonly blocks: ModuleList<EncoderLayer>
  private readonly times: tf.Variable<tf.Rank.R3>
  private readonly norm: LayerNorm
  private readonly head: Linear | undefined
  private readonly drop: Dropout

  constructor(options: VideoTransformerOptions) {
    super()
    const name = 'VideoTransformerEncoder'
    expectOptions(name, options, 'inputDim')
    const { embeddingDim = 256, patchSize = 16, tubeletSize = 1, hiddenDim = embeddingDim } = options
    const { numLayers = 6, temporalLayers = 6, numHeads = 8, mlpRatio = 4, dropout = 0.1, random } = options
    const [t, height, width, channels] = videoDim(name, options.inputDim)
    expectInteger(name, 'embeddingDim', embeddingDim, 1)
    expectInteger(name, 'tubeletSize', tubeletSize, 1, t)
    expectInteger(name, 'temporalLayers', temporalLayers, 0, 1000)
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    const generator = random === undefined ? {} : { random }
    this.inputShape = [null, null, null, channels]
    this.embeddingDim = embeddingDim
    this.tubeletSize = tubeletSize
    this.maxFrames = t
    // A filter over the frames of a group is one over their channels side by side.
    this.frames = this.addModule(
      'frames',
      new VisionTransformerEncoder({
        inputDim: [height, width, channels * tubeletSize],
        ...{ patchSize, hiddenDim, embeddingDim: hiddenDim, numLayers, numHeads, mlpRatio, dropout },
        ...generator,
      }),
    )
    const steps = Math.floor(t / tubeletSize)
    this.times = this.addParameter(
      'time_embed',
      init.truncatedNormal<tf.Rank.R3>([1, steps, hiddenDim], { deviation: 0.02, ...generator }),
    )
    const mlpDim = Math.floor(mlpRatio * hiddenDim)
    const rates = { dropout, attentionDropout: dropout, mlpDropout: dropout }
    const layer = (): EncoderLayer =>
      new EncoderLayer({ embedDim: hiddenDim, numHeads, mlpDim, ...rates, ...generator })
    this.blocks = this.addModule('blocks', new ModuleList(Array.from({ length: temporalLayers }, layer)))
    this.norm = this.addModule('norm', new LayerNorm({ numFeatures: hiddenDim }))
    if (embeddingDim !== hiddenDim)
      this.head = this.addModule(
        'head',
        new Linear({ inFeatures: hiddenDim, outFeatures: embeddingDim, ...generator }),
      )
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  protected encode(videos: tf.Tensor, { mask }: EncodeOptions): EncoderOutput {
    const [b, t, h, w, c] = videos.shape as [number, number, number, number, number]
    const { tubeletSize: size } = this
    const steps = t / size
    expectShape(
      t > 0 && t <= this.maxFrames && Number.isInteger(steps),
      'VideoTransformerEncoder.forward',
      `1 to ${this.maxFrames} frames, a multiple of ${size}`,
      `a tensor [${videos.shape.join(', ')}]`,
      'Take as many frames as inputDim says, or fewer.',
    )
    const flags = mask && flagsOf(mask, b, t)
    const seen = flags === undefined ? videos : tf.mul(videos, tf.reshape(flags, [b, t, 1, 1, 1]))
    const grouped = tf.transpose(tf.reshape(seen, [b, steps, size, h, w, c]), [0, 1, 3, 4, 2, 5])
    const images = tf.reshape(grouped, [b * steps, h, w, size * c])
    const { embedding } = this.frames.forward(images)
    const kept = flags && tf.max(tf.reshape(flags, [b, steps, size]), 2) // [B, steps]
    let x: tf.Tensor = tf.reshape(embedding, [b, steps, this.frames.embeddingDim])
    x = tf.add(x, tf.slice(this.times, [0, 0, 0], [1, steps, -1]))
    if (this.training && this.drop.rate > 0) x = this.drop.forward(x)
    const inputs = kept === undefined ? {} : { mask: tf.reshape(tf.greater(kept, 0), [b, 1, 1, steps]) }
    for (const block of this.blocks) x = block.forward(x, inputs)
    const sequence = this.norm.forward(x) as tf.Tensor3D
    const pooled = pooledTokens(sequence, kept && tf.greater(kept, 0), 'mean')
    return { embedding: (this.head?.forward(pooled) ?? pooled) as tf.Tensor2D, sequence }
  }
}
