import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { scaledDotProductAttention } from '../ops/attention.js'
import { linear } from '../ops/linear.js'
import type { Random } from '../random.js'
import { attentionMask } from './attention-mask.js'
import { generatorState, loadGeneratorState } from './generator-state.js'
import { expectTensor, optionsOf } from './given.js'
import { xavierUniform } from './init.js'
import type { KeyValueCache } from './key-value-cache.js'
import { Layer } from './layer.js'
import { linearLayout } from './layout.js'
import { Linear } from './linear.js'

export interface MultiHeadAttentionOptions {
  /** Length of queries and results, a multiple of numHeads. */
  embedDim: number
  numHeads: number
  /** Share of the attention weights set to 0 in training, in [0, 1). Default 0. */
  dropout?: number
  /** Default true. */
  bias?: boolean
  /** Length of keys where it differs. Default embedDim. */
  kdim?: number
  /** Length of values where it differs. Default embedDim. */
  vdim?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

export interface AttentionInputs {
  /** [B, Tk, kdim]. Default: the query. */
  key?: tf.Tensor
  /** [B, Tk, vdim]. Default: the key. */
  value?: tf.Tensor
  /** Query i sees keys up to i + Tk − Tq. Default false. */
  causal?: boolean
  /** [B, Tk] of bool or int32: 1 is a key, 0 is padding. The opposite of PyTorch's key_padding_mask. */
  keyMask?: tf.Tensor
  /**
   * Broadcastable to [B, H, Tq, Tk]: bool or int32, where 1 may be seen and 0 may not (the opposite of PyTorch's), or
   * float32, added to the scores.
   */
  mask?: tf.Tensor
  /** Keys and values of earlier calls, to which this call's are added; masks then speak of all of them. */
  cache?: KeyValueCache
}

/**
 * Attention with several heads, PyTorch's MultiheadAttention with batch_first: query [B, Tq, E] → [B, Tq, E]. Per head
 * softmax(q·kᵀ/√(E/H))·v; a query that may see no key gives the output projection's bias.
 * On disk `in_proj_weight` [3E, E] (with other kdim or vdim `q_proj_weight`, `k_proj_weight`, `v_proj_weight`),
 * `in_proj_bias` [3E], `out_proj.weight`, `out_proj.bias`. Projections start as Xavier's uniform, biases as zeros.
 * Throws VqConfigError for options out of range, VqShapeError where sizes do not fit.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
 */
export class MultiHeadAttention extends Layer {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  /** [E, 3E]: queries', keys' and values' side by side. */
  readonly inProjection: tf.Variable<tf.Rank.R2> | undefined
  /** [E, E], [kdim, E], [vdim, E], where there is no one projection of all. */
  readonly projections: readonly tf.Variable<tf.Rank.R2>[] | undefined
  /** [3E] */
  readonly inBias: tf.Variable<tf.Rank.R1> | undefined
  readonly outProjection: Linear
  private readonly widths: readonly [number, number]
  private readonly random: Random | undefined

  constructor(options: MultiHeadAttentionOptions) {
    super()
    const name = 'MultiHeadAttention'
    const { embedDim, numHeads, dropout = 0, bias = true, random } = optionsOf(name, options)
    const { kdim = embedDim, vdim = embedDim } = options
    expectInteger(name, 'embedDim', embedDim, 1)
    expectInteger(name, 'numHeads', numHeads, 1)
    expectInteger(name, 'kdim', kdim, 1)
    expectInteger(name, 'vdim', vdim, 1)
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    expectConfig(
      embedDim % numHeads === 0,
      name,
      `numHeads to divide embedDim (${embedDim})`,
      numHeads,
      'Choose a divisor.',
    )
    this.embedDim = embedDim
    this.numHeads = numHeads
    this.dropout = dropout
    this.widths = [kdim, vdim]
    this.random = random
    const generator = random === undefined ? {} : { random }
    const projection = (part: string, shape: [number, number]): tf.Variable<tf.Rank.R2> =>
      this.addParameter(part, xavierUniform<tf.Rank.R2>(shape, generator), linearLayout)
    if (kdim === embedDim && vdim === embedDim)
      this.inProjection = projection('in_proj_weight', [embedDim, 3 * embedDim])
    else
      this.projections = [
        projection('q_proj_weight', [embedDim, embedDim]),
        projection('k_proj_weight', [kdim, embedDim]),
        projection('v_proj_weight', [vdim, embedDim]),
      ]
    if (bias) this.inBias = this.addParameter('in_proj_bias', tf.zeros<tf.Rank.R1>([3 * embedDim]))
    const out = new Linear({ inFeatures: embedDim, outFeatures: embedDim, bias, ...generator })
    this.outProjection = this.addModule('out_proj', out)
    tf.tidy(() => out.bias?.assign(tf.zeros([embedDim])))
  }

  forward(query: tf.Tensor, inputs: AttentionInputs = {}): tf.Tensor3D {
    const { causal = false, keyMask, mask, cache } = inputs
    const { key = query, value = key } = inputs
    for (const [role, x] of Object.entries({ query, key, value }))
      expectTensor('MultiHeadAttention.forward', x, ['float32'], role)
    this.check(query, key, value)
    return tf.tidy(() => {
      const [b, tq] = query.shape as [number, number, number]
      const held = cache?.length ?? 0
      const keys = cache?.fixed && held > 0 ? held : held + (key.shape[1] as number)
      // Before the cache grows.
      const scores = [b, this.numHeads, tq, keys]
      const seen = attentionMask('MultiHeadAttention.forward', scores, keyMask, mask)
      const [q, k, v] = this.project(query, key, value, cache) // [B, H, T, D]
      const attended = scaledDotProductAttention(q, k, v, {
        causal,
        dropout: this.training ? this.dropout : 0,
        ...(seen && { mask: seen }),
        ...(this.random && { generator: this.random }),
      })
      const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [b, tq, this.embedDim])
      return this.outProjection.forward(joined) as tf.Tensor3D
    })
  }

  private check(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor): void {
    const { embedDim, widths } = this
    const fits = (t: tf.Tensor, width: number): boolean =>
      t.rank === 3 && t.shape[0] === query.shape[0] && t.shape[2] === width
    if (
      fits(query, embedDim) &&
      fits(key, widths[0]) &&
      fits(value, widths[1]) &&
      key.shape[1] === value.shape[1]
    )
      return
    expectShape(
      false,
      'MultiHeadAttention.forward',
      `a query [B, Tq, ${embedDim}], a key [B, Tk, ${widths[0]}] and a value [B, Tk, ${widths[1]}]`,
      [query, key, value].map(t => `[${t.shape.join(', ')}]`).join(', '),
      'Batches come first; key and value have the same length.',
    )
  }

  /** Queries, keys and values by heads; the latter two with those of the cache before them. */
  private project(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, cache?: KeyValueCache): tf.Tensor4D[] {
    if (cache?.fixed && cache.entries !== undefined)
      return [this.heads(this.part(query, 0, 1), 1)[0], ...cache.entries]
    const [q, k, v] =
      key === query && value === key
        ? this.heads(this.part(query, 0, 3), 3)
        : value === key && this.inProjection !== undefined
          ? [...this.heads(this.part(query, 0, 1), 1), ...this.heads(this.part(key, 1, 2), 2)]
          : [query, key, value].flatMap((x, i) => this.heads(this.part(x, i, 1), 1))
    return cache === undefined ? [q, k, v] : [q, ...cache.append(k, v)]
  }

  /** x [B, T, ...] by `count` of the three projections side by side, from number `first` on. */
  private part(x: tf.Tensor, first: number, count: number): tf.Tensor {
    const { embedDim, inProjection, projections, inBias } = this
    const all = count === 3
    const [from, width] = [first * embedDim, count * embedDim]
    const bias = inBias && !all ? (tf.slice(inBias, from, width) as tf.Tensor1D) : inBias
    if (projections !== undefined) return linear(x, projections[first], bias)
    const weight = inProjection as tf.Tensor2D
    return linear(x, all ? weight : tf.slice(weight, [0, from], [embedDim, width]), bias)
  }

  /** [B, T, count·E] → `count` times [B, H, T, E/H]. */
  private heads(x: tf.Tensor, count: number): tf.Tensor4D[] {
    const { numHeads, embedDim } = this
    const [b, t] = x.shape
    const size = embedDim / numHeads
    if (count === 1) return [tf.transpose(tf.reshape(x, [b, t, numHeads, size]), [0, 2, 1, 3]) as tf.Tensor4D]
    const apart = tf.transpose(tf.reshape(x, [b, t, count, numHeads, size]), [2, 0, 3, 1, 4])
    return tf.unstack(apart) as tf.Tensor4D[]
  }

  /** A generator of its own goes on where a checkpoint left it. */
  override extraState(): unknown {
    return generatorState(this.random, this.dropout)
  }

  override loadExtraState(state: unknown): void {
    loadGeneratorState(this.random, state)
  }
}
