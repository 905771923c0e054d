import { expectConfig, expectInteger, expectNumber, expectOneOf, type Random, tf } from '@vq/core'
import { Conv3d, LayerNorm, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { sinusoidalPositions } from '../text/positions.js'
import { type ActivationName, EncoderLayer } from '../transformer/index.js'
import { videoDim } from './video-dim.js'

export interface VideoMAEOptions {
  /** [T, H, W, C] of the videos. */
  inputDim: readonly number[]
  /** Edge of a patch in pixels, or [height, width]. Default 16. */
  patchSize?: number | readonly [number, number]
  /** Frames in a tubelet. Default 2. */
  tubeletSize?: number
  /** Width of the tokens and the embedding, a multiple of numHeads. Default 768. */
  hiddenDim?: number
  /** Default 12. */
  numLayers?: number
  /** Default 12. */
  numHeads?: number
  /** Default 4·hiddenDim. */
  mlpDim?: number
  /** Default 'gelu'. */
  activation?: ActivationName
  /** Added to variances. Default 1e-12. */
  epsilon?: number
  /** Whether queries, keys and values have biases. Default true. */
  qkvBias?: boolean
  /** The embedding is the mean of all tokens or the first one. Default 'mean'. */
  pooling?: 'mean' | 'first'
  /** Whether all tokens are normalised at the end. Default: where pooling is 'first'. */
  finalNorm?: boolean
  /** Whether the mean is normalised. Default false. */
  poolNorm?: boolean
  /** Of what each part of a layer adds, in training. Default 0. */
  dropout?: number
  /** Of attention weights, in training. Default 0. */
  attentionDropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

/**
 * VideoMAE's encoder: tubelets with fixed sinusoidal positions, all of which attend to each other: videos [B, T, H, W, C] →
 * an embedding [B, hiddenDim] and tokens [B, (T/tubeletSize)·patches, hiddenDim], time first, then row by row. Frames and
 * pixels that fill no tubelet are left out. Throws VqConfigError for options out of range, VqShapeError for other sizes.
 * Source: Tong et al. 2022, https://arxiv.org/abs/2203.12602, section 3.3.
 */
export class VideoMAEEncoder extends BaseEncoder {
  readonly inputShape: readonly number[]
  readonly embeddingDim: number
  readonly pooling: 'mean' | 'first'
  readonly blocks: ModuleList<EncoderLayer>
  private readonly patches: Conv3d
  private readonly norm: LayerNorm | undefined
  private readonly poolNorm: LayerNorm | undefined

  constructor(options: VideoMAEOptions) {
    super()
    const name = 'VideoMAEEncoder'
    expectOptions(name, options, 'inputDim')
    expectInteger(name, 'hiddenDim', options.hiddenDim ?? 768, 1)
    const { patchSize: patch = 16, tubeletSize = 2, hiddenDim = 768, numLayers = 12, numHeads = 12 } = options
    const { mlpDim = 4 * hiddenDim, activation = 'gelu', epsilon = 1e-12, qkvBias = true, random } = options
    const { pooling = 'mean', dropout = 0, attentionDropout = 0, poolNorm = false } = options
    const inputDim = videoDim(name, options.inputDim)
    expectInteger(name, 'numLayers', numLayers, 0, 1000)
    expectInteger(name, 'tubeletSize', tubeletSize, 1, inputDim[0])
    expectOneOf(name, 'pooling', pooling, ['mean', 'first'])
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    const sized = typeof patch === 'number' || Array.isArray(patch)
    expectConfig(sized, name, 'patchSize: a number or [height, width]', patch, 'Pass 16.')
    const [ph, pw] = typeof patch === 'number' ? [patch, patch] : patch
    expectInteger(name, 'patchSize', ph, 1, inputDim[1])
    expectInteger(name, 'patchSize', pw, 1, inputDim[2])
    const generator = random === undefined ? {} : { random }
    const kernelSize: [number, number, number] = [tubeletSize, ph, pw]
    this.inputShape = inputDim
    this.embeddingDim = hiddenDim
    this.pooling = pooling
    this.patches = this.addModule(
      'patch_embed',
      new Conv3d({ inChannels: inputDim[3], outChannels: hiddenDim, kernelSize, stride: kernelSize, ...generator }), // biome-ignore format: one line
    )
    const layer = { embedDim: hiddenDim, numHeads, mlpDim, activation, epsilon, qkvBias, ...generator }
    this.blocks = this.addModule(
      'blocks',
      new ModuleList(
        Array.from({ length: numLayers }, () => new EncoderLayer({ ...layer, dropout, attentionDropout })),
      ),
    )
    if (options.finalNorm ?? pooling === 'first')
      this.norm = this.addModule('norm', new LayerNorm({ numFeatures: hiddenDim, epsilon }))
    if (poolNorm) this.poolNorm = this.addModule('pool_norm', new LayerNorm({ numFeatures: hiddenDim }))
  }

  /** What enters the first layer and what each layer gives, [B, N, hiddenDim] each. */
  hiddenStates(videos: tf.Tensor): tf.Tensor3D[] {
    this.expectInput('hiddenStates', videos)
    return tf.tidy(() => {
      const states = [this.embedded(videos)]
      for (const block of this.blocks) states.push(block.forward(states.at(-1)!))
      return states
    })
  }

  protected encode(videos: tf.Tensor): EncoderOutput {
    let x = this.embedded(videos)
    for (const block of this.blocks) x = block.forward(x)
    const sequence = (this.norm?.forward(x) ?? x) as tf.Tensor3D
    const [b, , d] = sequence.shape
    const pooled: tf.Tensor =
      this.pooling === 'mean'
        ? tf.mean(sequence, 1)
        : tf.reshape(tf.slice(sequence, [0, 0, 0], [b, 1, d]), [b, d])
    return { embedding: (this.poolNorm?.forward(pooled) ?? pooled) as tf.Tensor2D, sequence }
  }

  private embedded(videos: tf.Tensor): tf.Tensor3D {
    const map = this.patches.forward(videos) // [B, t, h, w, D]
    const [b, t, h, w, d] = map.shape
    return tf.add(tf.reshape(map, [b, t * h * w, d]), sinusoidalPositions(t * h * w, d))
  }
}
