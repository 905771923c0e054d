import { type DecoderLayer, type Random, scaledDotProductAttention, tf } from '@vq/core'
import { Dropout, type KeyValueCache, LayerNorm, Linear, Module } from '@vq/core/nn'

class FeedForward extends Module {
  readonly widen: Linear
  readonly narrow: Linear

  constructor(width: number, random: { random?: Random }) {
    super()
    // PyTorch's names: the activation between them is number 1.
    this.widen = this.addModule('0', new Linear({ inFeatures: width, outFeatures: 4 * width, ...random }))
    this.narrow = this.addModule('2', new Linear({ inFeatures: 4 * width, outFeatures: width, ...random }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.narrow.forward(this.widen.forward(x, { activation: 'gelu' }))
  }
}

/** A pre-norm layer of the transformer, [B, T, D] → [B, T, D]: causal attention and a feed-forward part, each added to x. */
export class Block extends Module {
  private readonly heads: number
  private readonly ln1: LayerNorm
  private readonly ln2: LayerNorm
  private readonly qkv: Linear
  private readonly out: Linear
  private readonly mlp: FeedForward
  private readonly drop: Dropout

  constructor(width: number, heads: number, dropout: number, random: { random?: Random }) {
    super()
    this.heads = heads
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...random }))
    this.ln1 = this.addModule('ln1', new LayerNorm({ numFeatures: width }))
    this.ln2 = this.addModule('ln2', new LayerNorm({ numFeatures: width }))
    this.qkv = this.addModule('qkv', new Linear({ inFeatures: width, outFeatures: 3 * width, ...random }))
    this.out = this.addModule('out', new Linear({ inFeatures: width, outFeatures: width, ...random }))
    this.mlp = this.addModule('mlp', new FeedForward(width, random))
  }

  /** Its parameters as `decode` takes them. */
  get decoder(): DecoderLayer {
    const { ln1, qkv, out, ln2, mlp } = this
    return { norm1: ln1, qkv, out, norm2: ln2, widen: mlp.widen, narrow: mlp.narrow }
  }

  /** With a cache x are the tokens behind those that it holds. */
  forward(x: tf.Tensor3D, cache?: KeyValueCache): tf.Tensor3D {
    const [b, t, width] = x.shape
    const { heads } = this
    const projected = this.qkv.forward(this.ln1.forward(x))
    const apart = tf.transpose(tf.reshape(projected, [b, t, 3, heads, width / heads]), [2, 0, 3, 1, 4])
    const [q, newKeys, newValues] = tf.unstack(apart) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D]
    const [k, v] = cache === undefined ? [newKeys, newValues] : cache.append(newKeys, newValues)
    const attended = scaledDotProductAttention(q, k, v, { causal: true })
    const joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [b, t, width])
    const y = tf.add(x, this.drop.forward(this.out.forward(joined)))
    return tf.add(y, this.drop.forward(this.mlp.forward(this.ln2.forward(y))))
  }
}
