import { expectConfig, expectInteger, type Random, scaledDotProductAttention, tf } from '@vq/core'
import { generatorState, Linear, loadGeneratorState, Module } from '@vq/core/nn'

export interface SelfAttentionOptions {
  /** Length of the vectors, a multiple of numHeads. */
  embedDim: number
  numHeads: number
  /** Whether queries, keys and values have biases. Default true. */
  qkvBias?: boolean
  /** Share of the attention weights set to 0 in training. Default 0. */
  dropout?: number
  random?: Random
}

export interface AttentionInputs {
  /** [B, T] of bool or int32: 1 is a token, 0 is padding; or broadcastable to [B, H, T, T], float32 being added to the scores. */
  mask?: tf.Tensor
  /** Token i sees tokens up to i. Default false. */
  causal?: boolean
}

/**
 * Self-attention with several heads, x [B, T, E] → [B, T, E]: one product for queries, keys and values (`qkv`, [3E, E] on
 * disk), softmax(q·kᵀ/√(E/H))·v per head, and `proj`.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
 */
export class SelfAttention extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  readonly qkv: Linear
  readonly proj: Linear
  private readonly random: Random | undefined

  constructor({ embedDim, numHeads, qkvBias = true, dropout = 0, random }: SelfAttentionOptions) {
    super()
    expectInteger('SelfAttention', 'embedDim', embedDim, 1)
    expectInteger('SelfAttention', 'numHeads', numHeads, 1)
    expectConfig(
      embedDim % numHeads === 0,
      'SelfAttention',
      `numHeads to divide the width (${embedDim})`,
      numHeads,
      'Choose a divisor.',
    )
    this.embedDim = embedDim
    this.numHeads = numHeads
    this.dropout = dropout
    this.random = random
    const generator = random === undefined ? {} : { random }
    const width = { inFeatures: embedDim, ...generator }
    this.qkv = this.addModule('qkv', new Linear({ ...width, outFeatures: 3 * embedDim, bias: qkvBias }))
    this.proj = this.addModule('proj', new Linear({ ...width, outFeatures: embedDim }))
  }

  forward(x: tf.Tensor, { mask, causal = false }: AttentionInputs = {}): tf.Tensor3D {
    return tf.tidy(() => {
      const [b, t] = x.shape as [number, number]
      const { numHeads, embedDim } = this
      const heads = tf.reshape(this.qkv.forward(x), [b, t, 3, numHeads, embedDim / numHeads])
      const [q, k, v] = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4])) as tf.Tensor4D[] // [B, H, T, E/H]
      const attended = scaledDotProductAttention(q!, k!, v!, {
        causal,
        dropout: this.training ? this.dropout : 0,
        ...(mask && { mask }),
        ...(this.random && { generator: this.random }),
      })
      const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [b, t, embedDim])
      return this.proj.forward(joined) as tf.Tensor3D
    })
  }

  /** A generator of its own goes on where a checkpoint left it. */
  override extraState(): unknown {
    return generatorState(this.random, this.dropout)
  }

  override loadExtraState(state: unknown): void {
    loadGeneratorState(this.random, state)
  }
}
