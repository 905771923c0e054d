// Chen et al. 2020, "Generative pretraining from pixels", https://proceedings.mlr.press/v119/chen20s.html, over tokens of images and
// words: a pre-norm transformer with learned positions that foretells each token from those before it.
import {
  canDecode,
  type DecoderWeights,
  decode,
  expectShape,
  random as globalRandom,
  recording,
  softmaxCrossEntropy,
  tf,
  VqShapeError,
} from '@vq/core'
import { Embedding, init, LayerNorm, Linear, Module, ModuleList } from '@vq/core/nn'
import { Block } from './block.js'
import { IGPTCache } from './cache.js'
import { type IGPTOptions, type ResolvedIGPT, resolve } from './options.js'

// Types, not interfaces: tf.tidy wants an index signature.
export type IGPTOutput = {
  /** Mean cross-entropy in nats per token. */
  loss: tf.Scalar
  /** Means over the tokens of a part, where `parts` were given. */
  imageLoss?: tf.Scalar
  textLoss?: tf.Scalar
}

/** What a token is part of. */
export const part = { special: 0, image: 1, text: 2 } as const

/**
 * One transformer over tokens of images and text. State: `tok`, `pos`, `blocks.N` (`ln1`, `qkv`, `out`, `ln2`, `mlp.0`, `mlp.2`),
 * `norm`, `head`.
 * Throws VqConfigError for options out of range, VqShapeError for other ids and longer sequences.
 *
 * @example
 * const igpt = new IGPT({ vocabSize: 148, contextLength: 58, dModel: 128, nHeads: 4, nLayers: 4, dropout: 0.1 })
 * const { loss } = igpt.forward(sequences)   // int32 [B, T + 1]
 */
export class IGPT extends Module {
  readonly options: Readonly<ResolvedIGPT>
  private readonly tok: Embedding
  private readonly pos: Embedding
  private readonly blocks: ModuleList<Block>
  private readonly norm: LayerNorm
  private readonly head: Linear
  private readonly decoder: DecoderWeights

  constructor(options: IGPTOptions) {
    super()
    this.options = resolve(options)
    const { vocabSize, contextLength, dModel, nHeads, nLayers, dropout } = this.options
    const generator = options.random === undefined ? {} : { random: options.random }
    const table = (numEmbeddings: number): Embedding =>
      new Embedding({ numEmbeddings, embeddingDim: dModel, ...generator })
    this.tok = this.addModule('tok', table(vocabSize))
    this.pos = this.addModule('pos', table(contextLength))
    const blocks = Array.from({ length: nLayers }, () => new Block(dModel, nHeads, dropout, generator))
    this.blocks = this.addModule('blocks', new ModuleList(blocks))
    this.norm = this.addModule('norm', new LayerNorm({ numFeatures: dModel }))
    this.head = this.addModule(
      'head',
      new Linear({ inFeatures: dModel, outFeatures: vocabSize, bias: false, ...generator }),
    )
    this.decoder = {
      table: this.tok.weight,
      places: this.pos.weight,
      heads: nHeads,
      activation: 'gelu',
      layers: blocks.map(block => block.decoder),
      norm: this.norm,
      head: this.head,
    }
    this.start(options)
  }

  // Tables and products begin small, and what layers add smaller the more of them there are (GPT-2, Radford et al. 2019, section 2.3).
  private start({ random = globalRandom }: IGPTOptions): void {
    const deeper = 0.02 / Math.sqrt(2 * this.options.nLayers)
    for (const { name, variable } of this.namedParameters()) {
      if (variable.rank !== 2) continue
      const deviation = /\.(out|mlp\.2)\.weight$/.test(name) ? deeper : 0.02
      tf.tidy(() =>
        variable.assign(init.normal<tf.Rank.R2>(variable.shape as [number, number], 0, deviation, random)),
      )
    }
  }

  /**
   * Logits [B, T, vocabSize] of the token behind each of ids, int32 [B, T]; with a cache they go on behind what it holds. `last`:
   * those of the last token alone, [B, 1, vocabSize].
   */
  logits(ids: tf.Tensor, cache?: IGPTCache, { last = false }: { last?: boolean } = {}): tf.Tensor3D {
    const { contextLength } = this.options
    const held = cache?.length ?? 0
    expectShape(
      ids.rank === 2 && ids.dtype === 'int32' && (ids.shape[1] ?? 0) > 0,
      'IGPT.logits',
      'ids int32 [B, T]',
      `${ids.dtype} [${ids.shape.join(', ')}]`,
      'Pass a batch of token ids.',
    )
    const length = ids.shape[1] as number
    if (held + length > contextLength)
      throw new VqShapeError({
        operation: 'IGPT.logits',
        expected: `at most ${contextLength} tokens`,
        received: `${held + length}`,
        remedy: 'Make the model with a larger contextLength, or shorten the sequences.',
      })
    const drops = this.training && this.options.dropout > 0
    if (cache !== undefined && canDecode() && !recording() && !drops) {
      const room = cache.inPlace(this.decoder, ids.shape[0] as number, contextLength)
      if (room !== undefined) return decode(this.decoder, ids, room, { last })
    }
    const layers = cache?.apart()
    return tf.tidy(() => {
      const places = tf.slice(this.pos.weight, [held, 0], [length, -1])
      let x = tf.add(this.tok.forward(ids), places) as tf.Tensor3D
      for (const [i, block] of this.blocks.modules.entries()) x = block.forward(x, layers?.[i])
      if (last) x = tf.slice(x, [0, length - 1, 0], [-1, 1, -1])
      return this.head.forward(this.norm.forward(x)) as tf.Tensor3D
    })
  }

  /**
   * The loss of sequences int32 [B, T + 1]: each token but the first, from those before it. `parts` int32 [B, T + 1] says of
   * each token what it belongs to (`part`), for the losses by part; `weights` float32 [B, T + 1] may leave tokens out.
   */
  forward(
    sequences: tf.Tensor,
    { parts, weights }: { parts?: tf.Tensor; weights?: tf.Tensor } = {},
  ): IGPTOutput {
    for (const other of [parts, weights])
      expectShape(
        other === undefined || tf.util.arraysEqual(other.shape, sequences.shape),
        'IGPT.forward',
        `parts and weights [${sequences.shape.join(', ')}]`,
        `[${other?.shape.join(', ')}]`,
        'Pass one per token.',
      )
    return tf.tidy((): IGPTOutput => {
      const [b, length] = sequences.shape as [number, number]
      const behind = <T extends tf.Tensor>(x: T): T => tf.slice(x, [0, 1], [b, length - 1])
      const scores = this.logits(tf.slice(sequences, [0, 0], [b, length - 1]))
      const targets = behind(sequences)
      if (parts === undefined && weights === undefined)
        return { loss: softmaxCrossEntropy(scores, targets) as tf.Scalar }
      const each = softmaxCrossEntropy(scores, targets, { reduction: 'none' })
      const counted = weights === undefined ? tf.onesLike(each) : behind(weights)
      const mean = (kept: tf.Tensor): tf.Scalar =>
        tf.div(tf.sum(tf.mul(each, kept)), tf.maximum(tf.sum(kept), 1e-9)) as tf.Scalar
      const of = (kind: number): tf.Tensor =>
        tf.mul(counted, tf.cast(tf.equal(behind(parts as tf.Tensor), tf.scalar(kind, 'int32')), 'float32'))
      const loss = mean(counted)
      if (parts === undefined) return { loss }
      return { loss, imageLoss: mean(of(part.image)), textLoss: mean(of(part.text)) }
    })
  }

  /** A cache for sequences that are made token by token. */
  cache(): IGPTCache {
    return new IGPTCache(this.options.nLayers)
  }
}
