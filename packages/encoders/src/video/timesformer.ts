import { expectConfig, expectInteger, expectNumber, expectOneOf, type Random, tf } from '@vq/core'
import { Conv2d, Dropout, init, LayerNorm, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { type ActivationName, EncoderLayer } from '../transformer/index.js'
import { DividedLayer } from './timesformer-layer.js'
import { videoDim } from './video-dim.js'

export const attentionTypes = ['divided_space_time', 'joint_space_time', 'space_only'] as const
export type AttentionType = (typeof attentionTypes)[number]

export interface TimeSformerOptions {
  /** [T, H, W, C] of the videos. */
  inputDim: readonly number[]
  /** Edge of a patch in pixels, or [height, width]. Default 16. */
  patchSize?: number | readonly [number, number]
  /** Attention over time, then over space; over both at once; or within frames alone. Default 'divided_space_time'. */
  attentionType?: AttentionType
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
  /** Added to variances. Default 1e-6. */
  epsilon?: number
  /** Whether queries, keys and values have biases. Default true. */
  qkvBias?: boolean
  /** Of embeddings and of what each part of a layer adds, in training. Default 0. */
  dropout?: number
  /** Of attention weights, in training. Default 0. */
  attentionDropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

/**
 * TimeSformer: videos [B, T, H, W, C] → the class token as an embedding [B, hiddenDim] and all tokens
 * [B, 1 + patches·T, hiddenDim]: class token first, then patch by patch, each with its T frames. With 'space_only' every
 * frame has a class token: tokens [B, T·(1 + patches), hiddenDim] frame by frame, and the embedding is their mean over time.
 * Throws VqConfigError for options out of range, VqShapeError for other sizes.
 * Source: Bertasius et al. 2021, https://arxiv.org/abs/2102.05095, section 3.
 */
export class TimeSformerEncoder extends BaseEncoder {
  readonly inputShape: readonly number[]
  readonly embeddingDim: number
  readonly attentionType: AttentionType
  readonly blocks: ModuleList<EncoderLayer | DividedLayer>
  private readonly patches: Conv2d
  private readonly classToken: tf.Variable<tf.Rank.R3>
  private readonly positions: tf.Variable<tf.Rank.R3>
  private readonly times: tf.Variable<tf.Rank.R3> | undefined
  private readonly norm: LayerNorm
  private readonly drop: Dropout

  constructor(options: TimeSformerOptions) {
    super()
    const name = 'TimeSformerEncoder'
    expectOptions(name, options, 'inputDim')
    expectInteger(name, 'hiddenDim', options.hiddenDim ?? 768, 1)
    const { patchSize: patch = 16, hiddenDim = 768, numLayers = 12, numHeads = 12, random } = options
    const { mlpDim = 4 * hiddenDim, activation = 'gelu', epsilon = 1e-6, qkvBias = true } = options
    const { attentionType = 'divided_space_time', dropout = 0, attentionDropout = 0 } = options
    const inputDim = videoDim(name, options.inputDim)
    expectInteger(name, 'numLayers', numLayers, 0, 1000)
    expectOneOf(name, 'attentionType', attentionType, attentionTypes)
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    const sized = typeof patch === 'number' || Array.isArray(patch)
    expectConfig(sized, name, 'patchSize: a number or [height, width]', patch, 'Pass 16.')
    const [ph, pw] = typeof patch === 'number' ? [patch, patch] : patch
    expectInteger(name, 'patchSize', ph, 1, inputDim[1])
    expectInteger(name, 'patchSize', pw, 1, inputDim[2])
    const generator = random === undefined ? {} : { random }
    this.inputShape = inputDim
    this.embeddingDim = hiddenDim
    this.attentionType = attentionType
    const tokens = (part: string, count: number): tf.Variable<tf.Rank.R3> =>
      this.addParameter(
        part,
        init.truncatedNormal<tf.Rank.R3>([1, count, hiddenDim], { deviation: 0.02, ...generator }),
      )
    this.classToken = tokens('cls_token', 1)
    this.positions = tokens('pos_embed', 1 + Math.floor(inputDim[1] / ph) * Math.floor(inputDim[2] / pw))
    if (attentionType !== 'space_only') this.times = tokens('time_embed', inputDim[0])
    const kernelSize: [number, number] = [ph, pw]
    this.patches = this.addModule(
      'patch_embed',
      new Conv2d({ inChannels: inputDim[3], outChannels: hiddenDim, kernelSize, stride: kernelSize, ...generator }), // biome-ignore format: one line
    )
    const rates = { dropout, attentionDropout, mlpDropout: dropout }
    const layer = { embedDim: hiddenDim, numHeads, mlpDim, activation, epsilon, qkvBias, ...rates, ...generator } // biome-ignore format: one line
    const divided = attentionType === 'divided_space_time'
    this.blocks = this.addModule(
      'blocks',
      new ModuleList<EncoderLayer | DividedLayer>(
        Array.from({ length: numLayers }, () =>
          divided ? new DividedLayer(layer) : new EncoderLayer(layer),
        ),
      ),
    )
    this.norm = this.addModule('norm', new LayerNorm({ numFeatures: hiddenDim, epsilon }))
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  /** What enters the first layer and what each layer gives; with 'space_only' each frame is a sample, [B·T, 1 + patches, D]. */
  hiddenStates(videos: tf.Tensor): tf.Tensor3D[] {
    this.expectInput('hiddenStates', videos)
    return tf.tidy(() => {
      const states = [this.embedded(videos)]
      for (const block of this.blocks) states.push(this.layer(block, states.at(-1)!))
      return states
    })
  }

  protected encode(videos: tf.Tensor): EncoderOutput {
    let x = this.embedded(videos)
    for (const block of this.blocks) x = this.layer(block, x)
    const y = this.norm.forward(x) as tf.Tensor3D
    const [rows, n, d] = y.shape
    const first = tf.slice(y, [0, 0, 0], [rows, 1, d])
    if (this.attentionType !== 'space_only') return { embedding: tf.reshape(first, [rows, d]), sequence: y }
    const [b, t] = videos.shape as [number, number]
    const embedding = tf.mean(tf.reshape(first, [b, t, d]), 1) as tf.Tensor2D
    return { embedding, sequence: tf.reshape(y, [b, t * n, d]) }
  }

  private layer(block: EncoderLayer | DividedLayer, x: tf.Tensor3D): tf.Tensor3D {
    return block instanceof DividedLayer ? block.forward(x, this.inputShape[0]!) : block.forward(x)
  }

  private embedded(videos: tf.Tensor): tf.Tensor3D {
    const [b, t, h, w, c] = videos.shape as [number, number, number, number, number]
    const d = this.embeddingDim
    const map = this.patches.forward(tf.reshape(videos, [b * t, h, w, c]))
    const places = map.shape[1] * map.shape[2]
    const patches = tf.reshape(map, [b * t, places, d])
    const tokens = tf.concat([tf.tile(this.classToken, [b * t, 1, 1]), patches], 1)
    const x = this.dropped(tf.add(tokens, this.positions) as tf.Tensor3D) // [B·T, 1 + places, D]
    if (this.times === undefined) return x
    const apart = tf.split(x, [1, places], 1) as [tf.Tensor3D, tf.Tensor3D]
    const first = tf.slice(tf.reshape(apart[0], [b, t, d]) as tf.Tensor3D, [0, 0, 0], [b, 1, d])
    const byPlace = tf.transpose(tf.reshape(apart[1], [b, t, places, d]), [0, 2, 1, 3])
    const timed = this.dropped(tf.add(byPlace, this.times)) // [B, places, T, D]
    return tf.concat([first, tf.reshape(timed, [b, places * t, d]) as tf.Tensor3D], 1)
  }

  private dropped<T extends tf.Tensor>(x: T): T {
    return this.training && this.drop.rate > 0 ? (this.drop.forward(x) as T) : x
  }
}
