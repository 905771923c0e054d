import { expectInteger, expectNumber, expectOneOf, type Random, softmax, tf } from '@vq/core'
import { Dropout, Embedding, Linear, LSTM } from '@vq/core/nn'
import { BaseEncoder, type EncodeOptions, type EncoderOutput } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { flagsOf, pooledTokens, weighted } from './pooling.js'

export interface LSTMEncoderOptions {
  /** Number of tokens: ids lie in [0, vocabSize). */
  vocabSize: number
  /** Length of the embedding. Default 256. */
  embeddingDim?: number
  /** Length of the tokens' vectors. Default: embeddingDim. */
  tokenDim?: number
  /** Default 512. */
  hiddenDim?: number
  /** Default 2. */
  numLayers?: number
  /** Whether texts are also read from their end to their start. Default true. */
  bidirectional?: boolean
  /** A weighted mean over tokens with learned weights, their mean, or the states behind the last token. Default 'attention'. */
  pooling?: 'attention' | 'mean' | 'last'
  /** Of tokens, between layers and before the embedding, in training. Default 0.1. */
  dropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

/** Tokens that a mask keeps, moved before the others. */
interface Order {
  lengths: Int32Array
  /** Where each token of the new order was, of B·T. */
  from: Int32Array
  moved: boolean
}

/**
 * Long short-term memory over tokens, int32 [B, T] → an embedding [B, embeddingDim] and the outputs [B, T, directions·hiddenDim],
 * 0 where a mask leaves a token out: such tokens are as if they were not there.
 * Throws VqConfigError for options out of range, VqShapeError for other shapes, VqValueError for ids that are no token.
 * Source: attention pooling: Yang et al. 2016, https://aclanthology.org/N16-1174, equation 5 with one linear score.
 *
 * @example
 * const { embedding } = new LSTMEncoder({ vocabSize: 10_000 }).forward(ids, { lengths: [12, 7] })   // [2, 256]
 */
export class LSTMEncoder extends BaseEncoder {
  override readonly inputType = 'int32'
  override readonly takesMask = true
  readonly inputShape: readonly (number | null)[] = [null]
  readonly embeddingDim: number
  readonly vocabSize: number
  readonly pooling: 'attention' | 'mean' | 'last'
  readonly lstm: LSTM
  private readonly tokens: Embedding
  private readonly score: Linear | undefined
  private readonly fc: Linear
  private readonly drop: Dropout

  constructor(options: LSTMEncoderOptions) {
    super()
    const name = 'LSTMEncoder'
    expectOptions(name, options, 'vocabSize')
    const { vocabSize, embeddingDim = 256, tokenDim = embeddingDim, hiddenDim = 512, numLayers = 2 } = options
    const { bidirectional = true, pooling = 'attention', dropout = 0.1, random } = options
    expectInteger(name, 'vocabSize', vocabSize, 1)
    expectInteger(name, 'embeddingDim', embeddingDim, 1)
    expectInteger(name, 'tokenDim', tokenDim, 1)
    expectOneOf(name, 'pooling', pooling, ['attention', 'mean', 'last'])
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    const generator = random === undefined ? {} : { random }
    this.vocabSize = vocabSize
    this.embeddingDim = embeddingDim
    this.pooling = pooling
    this.tokens = this.addModule(
      'token_embed',
      new Embedding({ numEmbeddings: vocabSize, embeddingDim: tokenDim, ...generator }),
    )
    const between = numLayers > 1 ? dropout : 0
    this.lstm = this.addModule(
      'lstm',
      new LSTM({ inputSize: tokenDim, hiddenSize: hiddenDim, numLayers, bidirectional, dropout: between, ...generator }), // biome-ignore format: one line
    )
    const inFeatures = hiddenDim * (bidirectional ? 2 : 1)
    if (pooling === 'attention')
      this.score = this.addModule('attention', new Linear({ inFeatures, outFeatures: 1, bias: false, ...generator })) // biome-ignore format: one line
    this.fc = this.addModule('fc', new Linear({ inFeatures, outFeatures: embeddingDim, ...generator }))
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  protected encode(ids: tf.Tensor, { mask }: EncodeOptions): EncoderOutput {
    const [b, t] = ids.shape as [number, number]
    const order = mask && orderOf(mask)
    const read = order?.moved ? taken(ids, order.from, [b, t]) : ids
    const x = this.dropped(this.tokens.forward(read)) // [B, T, E]
    const { output, h } = this.lstm.forward(x, order ? { lengths: order.lengths } : {})
    const kept = order && tf.less(tf.range(0, t), tf.tensor2d(order.lengths, [b, 1], 'float32'))
    const embedding = this.fc.forward(this.dropped(this.pooled(output, h, kept)))
    const width = output.shape[2]
    const back = order?.moved ? inverse(order.from) : undefined
    const rows = back && tf.reshape(output, [b * t, width])
    const sequence = rows ? tf.reshape(tf.gather(rows, tf.tensor1d(back!, 'int32')), output.shape) : output
    return { embedding: embedding as tf.Tensor2D, sequence: sequence as tf.Tensor3D }
  }

  private pooled(output: tf.Tensor3D, h: tf.Tensor3D, kept: tf.Tensor | undefined): tf.Tensor2D {
    const [b, t] = output.shape
    if (this.pooling === 'mean') return pooledTokens(output, kept, 'mean')
    if (this.pooling === 'last') {
      const directions = this.lstm.bidirectional ? 2 : 1
      const last = tf.slice(h, [h.shape[0] - directions, 0, 0], [directions, b, h.shape[2]])
      return tf.reshape(tf.transpose(last, [1, 0, 2]), [b, directions * h.shape[2]])
    }
    const scores = tf.reshape(this.score!.forward(output), [b, t])
    // Far below any score, so that its share is 0; where nothing is kept all outputs are 0.
    const seen = kept === undefined ? scores : tf.where(kept, scores, tf.scalar(-1e30))
    return tf.mul(
      weighted(output, softmax(seen) as tf.Tensor2D),
      tf.max(flagsOf(kept, b, t), 1, true),
    ) as tf.Tensor2D
  }

  private dropped<T extends tf.Tensor>(x: T): T {
    return this.training && this.drop.rate > 0 ? (this.drop.forward(x) as T) : x
  }
}

function orderOf(mask: tf.Tensor): Order {
  const [b, t] = mask.shape as [number, number]
  const flags = mask.dataSync()
  const lengths = new Int32Array(b)
  const from = new Int32Array(b * t)
  let moved = false
  for (let row = 0; row < b; row++) {
    let at = row * t
    for (let i = row * t; i < (row + 1) * t; i++) if (flags[i] !== 0) from[at++] = i
    const length = at - row * t
    lengths[row] = length
    moved ||= length > 0 && from[at - 1] !== at - 1
    for (let i = row * t; i < (row + 1) * t; i++) if (flags[i] === 0) from[at++] = i
  }
  return { lengths, from, moved }
}

function taken(ids: tf.Tensor, from: Int32Array, shape: [number, number]): tf.Tensor {
  const values = ids.dataSync()
  return tf.tensor2d(
    from.map(i => values[i]!),
    shape,
    'int32',
  )
}

function inverse(from: Int32Array): Int32Array {
  const to = new Int32Array(from.length)
  for (const [i, at] of from.entries()) to[at] = i
  return to
}
