import { tf } from '@vq/core'
import { Dropout, LayerNorm, Linear, Module } from '@vq/core/nn'
import type { EncoderLayerOptions } from '../transformer/index.js'
import { FeedForward, SelfAttention, type SelfAttentionOptions } from '../transformer/index.js'

/**
 * A layer with divided attention: over time at each place, over space in each frame, then two linear layers. Tokens
 * [B, 1 + patches·T, E]: the class token, then patch by patch, each with its T frames.
 * Source: Bertasius et al. 2021, https://arxiv.org/abs/2102.05095, section 3, equations 5 to 9 with T+S attention.
 */
export class DividedLayer extends Module {
  readonly embedDim: number
  private readonly temporalNorm: LayerNorm
  private readonly temporal: SelfAttention
  private readonly temporalFc: Linear
  private readonly norm1: LayerNorm
  private readonly attention: SelfAttention
  private readonly norm2: LayerNorm
  private readonly mlp: FeedForward
  private readonly drop: Dropout

  constructor(options: EncoderLayerOptions) {
    super()
    const { embedDim, numHeads, mlpDim, activation = 'gelu', epsilon = 1e-6, qkvBias = true } = options
    const { dropout = 0, attentionDropout = 0, random } = options
    const generator = random === undefined ? {} : { random }
    const attention: SelfAttentionOptions = {
      ...{ embedDim, numHeads, qkvBias, dropout: attentionDropout },
      ...generator,
    }
    const norm = (): LayerNorm => new LayerNorm({ numFeatures: embedDim, epsilon })
    this.embedDim = embedDim
    this.temporalNorm = this.addModule('temporal_norm', norm())
    this.temporal = this.addModule('temporal_attn', new SelfAttention(attention))
    this.temporalFc = this.addModule(
      'temporal_fc',
      new Linear({ inFeatures: embedDim, outFeatures: embedDim, ...generator }),
    )
    this.norm1 = this.addModule('norm1', norm())
    this.attention = this.addModule('attn', new SelfAttention(attention))
    this.norm2 = this.addModule('norm2', norm())
    this.mlp = this.addModule(
      'mlp',
      new FeedForward({ embedDim, hiddenDim: mlpDim, activation, dropout, ...generator }),
    )
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  /** `frames` is T. */
  forward(x: tf.Tensor3D, frames: number): tf.Tensor3D {
    return tf.tidy(() => {
      const [b, n, d] = x.shape
      const places = (n - 1) / frames
      const [first, rest] = tf.split(x, [1, n - 1], 1) as [tf.Tensor3D, tf.Tensor3D]
      const byPlace = tf.reshape(rest, [b * places, frames, d])
      const moved = this.dropped(this.temporal.forward(this.temporalNorm.forward(byPlace)))
      const timed = tf.add(rest, this.temporalFc.forward(tf.reshape(moved, [b, places * frames, d])))
      const byFrame = tf.transpose(tf.reshape(timed, [b, places, frames, d]), [0, 2, 1, 3]) // [B, T, P, E]
      const heads = tf.tile(tf.reshape(first, [b, 1, 1, d]), [1, frames, 1, 1])
      const inFrames = tf.reshape(tf.concat([heads, byFrame], 2), [b * frames, places + 1, d])
      const seen = this.dropped(this.attention.forward(this.norm1.forward(inFrames)))
      const parts = tf.split(tf.reshape(seen, [b, frames, places + 1, d]), [1, places], 2)
      const [head, space] = parts as [tf.Tensor4D, tf.Tensor4D]
      const added = tf.concat(
        [tf.mean(head, 1), tf.reshape(tf.transpose(space, [0, 2, 1, 3]), [b, places * frames, d])],
        1,
      )
      const y = tf.add(tf.concat([first, timed], 1), added)
      return tf.add(y, this.dropped(this.mlp.forward(this.norm2.forward(y)))) as tf.Tensor3D
    })
  }

  private dropped(x: tf.Tensor): tf.Tensor {
    return this.training && this.drop.rate > 0 ? this.drop.forward(x) : x
  }
}
