import { expectInteger, expectNumber, expectOneOf, type Random, tf } from '@vq/core'
import { Dropout, LayerNorm, Module } from '@vq/core/nn'
import { type ActivationName, activationNames } from './activation.js'
import { type AttentionInputs, SelfAttention } from './attention.js'
import { FeedForward, SwiGLU } from './feed-forward.js'

export interface EncoderLayerOptions {
  /** Length of the vectors, a multiple of numHeads. */
  embedDim: number
  numHeads: number
  /** Width between the two linear layers. */
  mlpDim: number
  /** Default 'gelu'. */
  activation?: ActivationName
  /** Whether each part normalises what it reads, not what it has added to. Default true. */
  preNorm?: boolean
  /** Added to variances, in [0, 1]. Default 1e-5. */
  epsilon?: number
  /** Whether queries, keys and values have biases. Default true. */
  qkvBias?: boolean
  /** Of what each part adds, in training. Default 0. */
  dropout?: number
  /** Of attention weights, in training. Default 0. */
  attentionDropout?: number
  /** Between the two linear layers, in training. Default 0. */
  mlpDropout?: number
  /** Where given, what each part adds is multiplied by a learned vector that starts at this value. */
  layerScale?: number
  /** Whether the feed-forward part is SwiGLU; mlpDim is then the width of its halves. Default false. */
  swiglu?: boolean
  random?: Random
}

class LayerScale extends Module {
  readonly gamma: tf.Variable<tf.Rank.R1>

  constructor(size: number, value: number) {
    super()
    this.gamma = this.addParameter('gamma', tf.fill([size], value) as tf.Tensor1D)
  }
}

/**
 * A layer of a transformer encoder, x [B, T, E] → [B, T, E]: self-attention and two linear layers, each added to what it read.
 * Its parts are `norm1`, `attn`, `ls1`, `norm2`, `mlp`, `ls2`.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1; layer scale: Touvron et al. 2021,
 * https://arxiv.org/abs/2103.17239, section 2.1.
 */
export class EncoderLayer extends Module {
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly attention: SelfAttention
  readonly mlp: FeedForward | SwiGLU
  readonly scales: readonly LayerScale[]
  readonly preNorm: boolean
  private readonly drop: Dropout

  constructor(options: EncoderLayerOptions) {
    super()
    const name = 'EncoderLayer'
    const { embedDim, numHeads, mlpDim, activation = 'gelu', preNorm = true, epsilon = 1e-5 } = options
    const { qkvBias = true, dropout = 0, attentionDropout = 0, mlpDropout = 0, layerScale, random } = options
    expectInteger(name, 'mlpDim', mlpDim, 1)
    expectOneOf(name, 'activation', activation, activationNames)
    for (const rate of [attentionDropout, mlpDropout]) expectNumber(name, 'dropout', rate, 0, 1 - 2 ** -24)
    const generator = random === undefined ? {} : { random }
    const width = { embedDim, ...generator }
    this.preNorm = preNorm
    this.norm1 = this.addModule('norm1', new LayerNorm({ numFeatures: embedDim, epsilon }))
    this.attention = this.addModule(
      'attn',
      new SelfAttention({ ...width, numHeads, qkvBias, dropout: attentionDropout }),
    )
    const scale = (part: string): LayerScale[] =>
      layerScale === undefined ? [] : [this.addModule(part, new LayerScale(embedDim, layerScale))]
    const first = scale('ls1')
    this.norm2 = this.addModule('norm2', new LayerNorm({ numFeatures: embedDim, epsilon }))
    const mlp = { ...width, hiddenDim: mlpDim, activation, dropout: mlpDropout }
    this.mlp = this.addModule('mlp', options.swiglu ? new SwiGLU(mlp) : new FeedForward(mlp))
    this.scales = [...first, ...scale('ls2')]
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  forward(x: tf.Tensor, inputs: AttentionInputs = {}): tf.Tensor3D {
    return tf.tidy(() => {
      let y = x // [B, T, E] throughout
      y = this.joined(y, this.norm1, 0, h => this.attention.forward(h, inputs))
      y = this.joined(y, this.norm2, 1, h => this.mlp.forward(h))
      return y as tf.Tensor3D
    })
  }

  private joined(x: tf.Tensor, norm: LayerNorm, index: number, part: (h: tf.Tensor) => tf.Tensor): tf.Tensor {
    let added = part(this.preNorm ? norm.forward(x) : x)
    const scale = this.scales[index]
    if (scale !== undefined) added = tf.mul(added, scale.gamma)
    if (this.training && this.drop.rate > 0) added = this.drop.forward(added)
    const sum = tf.add(x, added)
    return this.preNorm ? sum : norm.forward(sum)
  }
}
