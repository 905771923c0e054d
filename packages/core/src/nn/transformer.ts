import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectOneOf, expectShape } from '../check.js'
import { VqConfigError } from '../errors.js'
import type { Random } from '../random.js'
import { MultiHeadAttention } from './attention.js'
import { Dropout } from './dropout.js'
import { expectTensor, optionsOf } from './given.js'
import type { KeyValueCache } from './key-value-cache.js'
import { Layer } from './layer.js'
import { LayerNorm } from './layer-norm.js'
import { Linear } from './linear.js'

export interface TransformerBlockOptions {
  /** Length of the vectors, a multiple of numHeads. */
  embedDim: number
  numHeads: number
  /** Width between the two linear layers. Default 2048. */
  feedForwardDim?: number
  /** Of attention weights, inside the feed-forward part and of what each part adds; in [0, 1). Default 0.1. */
  dropout?: number
  /** Default 'relu'. */
  activation?: 'relu' | 'gelu'
  /** Whether each part normalises what it reads, not what it has added to. Default false. */
  preNorm?: boolean
  /** Whether there is a part that attends to `memory`, as in a decoder. Default false. */
  crossAttention?: boolean
  /** Of all linear layers and normalisations. Default true. */
  bias?: boolean
  /** Added to variances, in [0, 1]. Default 1e-5. */
  epsilon?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

export interface TransformerInputs {
  /** Token i sees tokens up to i. Default false. */
  causal?: boolean
  /** [B, T] of bool or int32: 1 is a token, 0 is padding. */
  keyMask?: tf.Tensor
  /** Broadcastable to [B, H, T, T], as of {@link MultiHeadAttention}. */
  mask?: tf.Tensor
  /** Keys and values of the tokens before x, to which x's are added. */
  cache?: KeyValueCache
  /** [B, Tm, embedDim]: what a block with crossAttention attends to. */
  memory?: tf.Tensor
  /** [B, Tm] of bool or int32: 1 is a token of memory, 0 is padding. */
  memoryKeyMask?: tf.Tensor
  /** Broadcastable to [B, H, T, Tm]. */
  memoryMask?: tf.Tensor
  /** A fixed cache for memory's keys and values. */
  memoryCache?: KeyValueCache
}

/**
 * A layer of a transformer, x [B, T, E] → [B, T, E]: attention, with `crossAttention` attention to memory, and two linear
 * layers, each added to what it read. State dictionaries are those of PyTorch's TransformerEncoderLayer (`self_attn`,
 * `linear1`, `linear2`, `norm1`, `norm2`) or, with `crossAttention`, TransformerDecoderLayer (`multihead_attn`, `norm3`).
 * Throws VqConfigError for options out of range and where memory is missing or superfluous, VqShapeError for other shapes.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1; preNorm: Xiong et al. 2020,
 * https://arxiv.org/abs/2002.04745, figure 1b.
 */
export class TransformerBlock extends Layer {
  readonly selfAttention: MultiHeadAttention
  readonly crossAttention: MultiHeadAttention | undefined
  readonly linear1: Linear
  readonly linear2: Linear
  /** In the order in which they are used. */
  readonly norms: readonly LayerNorm[]
  readonly activation: 'relu' | 'gelu'
  readonly preNorm: boolean
  private readonly drop: Dropout

  constructor(options: TransformerBlockOptions) {
    super()
    const name = 'TransformerBlock'
    const {
      embedDim,
      numHeads,
      feedForwardDim = 2048,
      dropout = 0.1,
      activation = 'relu',
    } = optionsOf(name, options)
    const { preNorm = false, crossAttention = false, bias = true, epsilon = 1e-5, random } = options
    expectInteger(name, 'feedForwardDim', feedForwardDim, 1)
    expectOneOf(name, 'activation', activation, ['relu', 'gelu'])
    expectNumber(name, 'epsilon', epsilon, 0, 1)
    this.activation = activation
    this.preNorm = preNorm
    const generator = random === undefined ? {} : { random }
    const attention = (): MultiHeadAttention =>
      new MultiHeadAttention({ embedDim, numHeads, dropout, bias, ...generator })
    const linear = (inFeatures: number, outFeatures: number): Linear =>
      new Linear({ inFeatures, outFeatures, bias, ...generator })
    this.selfAttention = this.addModule('self_attn', attention())
    if (crossAttention) this.crossAttention = this.addModule('multihead_attn', attention())
    this.linear1 = this.addModule('linear1', linear(embedDim, feedForwardDim))
    this.linear2 = this.addModule('linear2', linear(feedForwardDim, embedDim))
    this.norms = Array.from({ length: crossAttention ? 3 : 2 }, (_, i) =>
      this.addModule(`norm${i + 1}`, new LayerNorm({ numFeatures: embedDim, epsilon, bias })),
    )
    this.drop = this.addModule('dropout', new Dropout({ rate: dropout, ...generator }))
  }

  forward(x: tf.Tensor, inputs: TransformerInputs = {}): tf.Tensor3D {
    expectTensor('TransformerBlock.forward', x)
    const { embedDim } = this.selfAttention
    expectShape(
      x.rank === 3 && x.shape[2] === embedDim,
      'TransformerBlock.forward',
      `a tensor [B, T, ${embedDim}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass sequences of vectors of that length.',
    )
    const { memory } = inputs
    if (memory !== undefined) expectTensor('TransformerBlock.forward', memory, ['float32'], 'memory')
    if ((memory !== undefined) !== (this.crossAttention !== undefined))
      throw new VqConfigError({
        operation: 'TransformerBlock.forward',
        expected: `${this.crossAttention ? 'a' : 'no'} memory`,
        received: memory === undefined ? 'none' : `one of [${memory.shape.join(', ')}]`,
        remedy: 'Blocks with crossAttention, and only these, attend to memory.',
      })
    return tf.tidy(() => {
      const parts = [
        (h: tf.Tensor) => this.selfAttention.forward(h, only(inputs, ['causal', 'keyMask', 'mask', 'cache'])),
        ...(this.crossAttention && memory ? [this.attendTo(this.crossAttention, memory, inputs)] : []),
        (h: tf.Tensor) => this.feedForward(h),
      ]
      let y = x // [B, T, E] throughout
      for (const [i, part] of parts.entries()) {
        const norm = this.norms[i]
        const added = this.drop.forward(part(this.preNorm ? norm.forward(y) : y))
        y = tf.add(y, added)
        if (!this.preNorm) y = norm.forward(y)
      }
      return y as tf.Tensor3D
    })
  }

  private attendTo(attention: MultiHeadAttention, key: tf.Tensor, inputs: TransformerInputs) {
    const { memoryKeyMask: keyMask, memoryMask: mask, memoryCache: cache } = inputs
    const options = { key, ...(keyMask && { keyMask }), ...(mask && { mask }), ...(cache && { cache }) }
    return (h: tf.Tensor): tf.Tensor => attention.forward(h, options)
  }

  private feedForward(h: tf.Tensor): tf.Tensor {
    return this.linear2.forward(this.drop.forward(this.linear1.forward(h, { activation: this.activation })))
  }
}

function only<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.filter(n => from[n] !== undefined).map(n => [n, from[n]])) as Pick<T, K>
}
