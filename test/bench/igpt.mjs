// The transformer of peers/models.py, of our ops, with the same names.
import {
  scaledDotProductAttention as attention,
  softmaxCrossEntropy,
  tf,
} from '../../packages/core/dist/index.js'
import { Dropout, Embedding, LayerNorm, Linear, Module } from '../../packages/core/dist/nn/index.js'

export const vocabulary = 148
export const tokens = 58
const full = { vocab: vocabulary, context: tokens, width: 128, heads: 4, layers: 4 }

class Named extends Module {
  constructor(children) {
    super()
    for (const [name, child] of Object.entries(children)) this.addModule(name, child)
    Object.assign(this, children)
  }
}

class Block extends Named {
  constructor(random, rate, { width, heads }) {
    const linear = (inFeatures, outFeatures) => new Linear({ inFeatures, outFeatures, random })
    super({
      drop: new Dropout({ rate, random }),
      ln1: new LayerNorm({ numFeatures: width }),
      ln2: new LayerNorm({ numFeatures: width }),
      qkv: linear(width, 3 * width),
      out: linear(width, width),
      mlp: new Named({ 0: linear(width, 4 * width), 2: linear(4 * width, width) }),
    })
    this.heads = heads
  }

  forward(x) {
    const [b, t, width] = x.shape
    const { heads } = this
    const split = tf.transpose(
      tf.reshape(this.qkv.forward(this.ln1.forward(x)), [b, t, 3, heads, width / heads]),
      [2, 0, 3, 1, 4],
    )
    const [q, k, v] = tf.unstack(split)
    const a = attention(q, k, v, { causal: true })
    const seen = this.out.forward(tf.reshape(tf.transpose(a, [0, 2, 1, 3]), [b, t, width]))
    const y = tf.add(x, this.drop.forward(seen))
    const inner = this.mlp[0].forward(this.ln2.forward(y), { activation: 'gelu' })
    return tf.add(y, this.drop.forward(this.mlp[2].forward(inner)))
  }
}

export class IGPT extends Named {
  constructor(random, dropout, { vocab, context, width, heads, layers } = full) {
    const blocks = Array.from({ length: layers }, () => new Block(random, dropout, { width, heads }))
    super({
      tok: new Embedding({ numEmbeddings: vocab, embeddingDim: width, random }),
      pos: new Embedding({ numEmbeddings: context, embeddingDim: width, random }),
      blocks: new Named({ ...blocks }),
      norm: new LayerNorm({ numFeatures: width }),
      head: new Linear({ inFeatures: width, outFeatures: vocab, bias: false, random }),
    })
    this.layers = layers
  }

  /** ids: [B, context + 1] int32. */
  forward(ids) {
    const [b, t] = [ids.shape[0], ids.shape[1] - 1]
    const from = tf.slice(ids, [0, 0], [b, t])
    const to = tf.slice(ids, [0, 1], [b, t])
    let x = tf.add(this.tok.forward(from), this.pos.weight)
    for (let i = 0; i < this.layers; i++) x = this.blocks[i].forward(x)
    return { loss: softmaxCrossEntropy(this.head.forward(this.norm.forward(x)), to) }
  }
}
