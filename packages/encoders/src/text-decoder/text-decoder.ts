import {
  expectInteger,
  expectNumber,
  expectShape,
  noGrad,
  type Random,
  softmaxCrossEntropy,
  tf,
} from '@vq/core'
import {
  Dropout,
  Embedding,
  KeyValueCache,
  LayerNorm,
  Linear,
  Module,
  ModuleList,
  TransformerBlock,
} from '@vq/core/nn'
import { expectOptions } from '../base/options.js'
import { chooseTokens, type SamplingOptions } from './choose-tokens.js'

export interface TextDecoderOptions {
  /** Number of tokens: ids lie in [0, vocabSize). */
  vocabSize: number
  /** Length of the embeddings that are decoded. Default 256. */
  embeddingDim?: number
  /** Width of the tokens, a multiple of numHeads. Default 512. */
  hiddenDim?: number
  /** Default 6. */
  numLayers?: number
  /** Default 8. */
  numHeads?: number
  /** Width inside the feed-forward part. Default 2048. */
  mlpDim?: number
  /** The longest text, in tokens. Default 512. */
  maxLength?: number
  /** Id that every text starts with; it is put before the tokens. */
  startId: number
  /** Id behind the last token, at which generation stops. Default: none. */
  endId?: number
  /** Id of padding, which generation puts behind the end. Default 0. */
  padId?: number
  /** Default 0.1. */
  dropout?: number
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens, the end's included. Default: the decoder's maxLength. */
  maxLength?: number
}

/** One vector per text or several: [B, D] or [B, M, D]. */
type Memory = tf.Tensor2D | tf.Tensor3D

/**
 * A transformer decoder over tokens that attends to what an encoder gave: its embedding [B, embeddingDim], or a sequence
 * [B, M, embeddingDim] such as quantized vectors. Token i is foretold of the tokens before it (`logits`, teacher forcing);
 * `generate` writes texts token by token, each layer keeping the keys and values of those before.
 * Throws VqConfigError for options out of range, VqShapeError for other shapes and longer texts.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1, with normalisation before each part.
 *
 * @example
 * const decoder = new TextDecoder({ vocabSize: 1000, startId: 1, endId: 2 })
 * const loss = decoder.loss(embedding, ids, { mask })
 * const texts = decoder.generate(embedding)               // int32 [B, T]
 */
export class TextDecoder extends Module {
  readonly vocabSize: number
  readonly embeddingDim: number
  readonly hiddenDim: number
  readonly maxLength: number
  readonly startId: number
  readonly endId: number | undefined
  readonly padId: number
  readonly blocks: ModuleList<TransformerBlock>
  private readonly tokens: Embedding
  private readonly places: Embedding
  private readonly memory: Linear
  private readonly norm: LayerNorm
  private readonly head: Linear
  private readonly drop: Dropout

  constructor(options: TextDecoderOptions) {
    super()
    const name = 'TextDecoder'
    expectOptions(name, options, 'vocabSize')
    const { vocabSize, embeddingDim = 256, hiddenDim = 512, numLayers = 6, numHeads = 8, random } = options
    const { mlpDim = 2048, maxLength = 512, startId, endId, padId = 0, dropout = 0.1 } = options
    expectInteger(name, 'vocabSize', vocabSize, 1)
    expectInteger(name, 'embeddingDim', embeddingDim, 1)
    expectInteger(name, 'numLayers', numLayers, 1, 1000)
    expectInteger(name, 'maxLength', maxLength, 1)
    expectInteger(name, 'startId', startId, 0, vocabSize - 1)
    expectInteger(name, 'padId', padId, 0, vocabSize - 1)
    if (endId !== undefined) expectInteger(name, 'endId', endId, 0, vocabSize - 1)
    expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
    const generator = random === undefined ? {} : { random }
    this.vocabSize = vocabSize
    this.embeddingDim = embeddingDim
    this.hiddenDim = hiddenDim
    this.maxLength = maxLength
    this.startId = startId
    this.endId = endId
    this.padId = padId
    const table = (part: string, numEmbeddings: number): Embedding => {
      const made = new Embedding({ numEmbeddings, embeddingDim: hiddenDim, ...generator })
      tf.tidy(() => made.weight.assign(tf.mul(made.weight, 0.02)))
      return this.addModule(part, made)
    }
    this.tokens = table('token_embed', vocabSize)
    this.places = table('pos_embed', maxLength)
    this.memory = this.addModule(
      'memory',
      new Linear({ inFeatures: embeddingDim, outFeatures: hiddenDim, ...generator }),
    )
    const block = { embedDim: hiddenDim, numHeads, feedForwardDim: mlpDim, dropout, ...generator }
    this.blocks = this.addModule(
      'blocks',
      new ModuleList(
        Array.from(
          { length: numLayers },
          () => new TransformerBlock({ ...block, activation: 'gelu', preNorm: true, crossAttention: true }),
        ),
      ),
    )
    this.norm = this.addModule('norm', new LayerNorm({ numFeatures: hiddenDim }))
    this.head = this.addModule(
      'head',
      new Linear({ inFeatures: hiddenDim, outFeatures: vocabSize, ...generator }),
    )
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  /** Logits [B, T, vocabSize] of each of the tokens int32 [B, T], of those before it alone. */
  logits(z: Memory, ids: tf.Tensor): tf.Tensor3D {
    this.check('TextDecoder.logits', z, ids)
    return tf.tidy(() => {
      const [b, t] = ids.shape as [number, number]
      const starts = tf.fill([b, 1], this.startId, 'int32')
      const before = tf.concat([starts, tf.slice(ids, [0, 0], [b, t - 1])], 1)
      return this.next(this.memoryOf(z), before, 0)
    })
  }

  /** Mean cross-entropy in nats over the tokens that the mask, bool or int32 [B, T], keeps; all where there is none. */
  loss(z: Memory, ids: tf.Tensor, { mask }: { mask?: tf.Tensor } = {}): tf.Scalar {
    expectShape(
      mask === undefined || tf.util.arraysEqual(mask.shape, ids.shape),
      'TextDecoder.loss',
      `a mask [${ids.shape.join(', ')}]`,
      `a mask [${mask?.shape.join(', ')}]`,
      'Pass one flag per token.',
    )
    return tf.tidy(() => {
      const logits = this.logits(z, ids)
      const rows = tf.reshape(logits, [ids.size, this.vocabSize]) as tf.Tensor2D
      const labels = tf.reshape(ids, [ids.size]) as tf.Tensor1D
      if (mask === undefined) return softmaxCrossEntropy(rows, labels) as tf.Scalar
      const flags = tf.reshape(tf.cast(mask, 'float32'), [ids.size])
      const each = softmaxCrossEntropy(rows, labels, { reduction: 'none' })
      return tf.div(tf.sum(tf.mul(each, flags)), tf.maximum(tf.sum(flags), 1)) as tf.Scalar
    })
  }

  /**
   * Texts int32 [B, T], written token by token, the most likely one each time or drawn (`temperature` above 0); behind the
   * end there is padding, and T is the longest text's length. Evaluation mode is wanted: call eval() first.
   */
  generate(z: Memory, options: GenerateOptions = {}): tf.Tensor2D {
    const operation = 'TextDecoder.generate'
    const { maxLength = this.maxLength } = options
    expectInteger(operation, 'maxLength', maxLength, 1, this.maxLength)
    this.check(operation, z)
    const b = z.shape[0]
    const caches = this.blocks.modules.map(() => ({
      cache: new KeyValueCache(),
      memoryCache: new KeyValueCache({ fixed: true }),
    }))
    const columns: Int32Array[] = []
    const done = new Array<boolean>(b).fill(false)
    const memory = tf.tidy(() => noGrad(() => this.memoryOf(z)))
    try {
      let last = new Int32Array(b).fill(this.startId)
      while (columns.length < maxLength && done.includes(false)) {
        const chosen = tf.tidy(() => {
          const ids = tf.tensor2d(last, [b, 1], 'int32')
          const logits = noGrad(() => this.next(memory, ids, columns.length, caches)).dataSync<'float32'>()
          // The choice, not the logits, leaves the tidy: it looks at every number that leaves it.
          return chooseTokens(logits, this.vocabSize, options)
        })
        last = chosen.map((id, i) => (done[i] ? this.padId : id))
        for (let i = 0; i < b; i++) done[i] ||= last[i] === this.endId
        columns.push(last)
      }
    } finally {
      memory.dispose()
      for (const { cache, memoryCache } of caches) {
        cache.dispose()
        memoryCache.dispose()
      }
    }
    const t = columns.length
    const ids = Int32Array.from({ length: b * t }, (_, i) => columns[i % t]![Math.floor(i / t)]!)
    return tf.tensor2d(ids, [b, t], 'int32')
  }

  private memoryOf(z: Memory): tf.Tensor3D {
    const [b] = z.shape
    return this.memory.forward(z.rank === 2 ? tf.reshape(z, [b, 1, z.shape[1]!]) : z) as tf.Tensor3D
  }

  /** Logits of what follows each of the tokens; the first of them is at position `from`. */
  private next(
    memory: tf.Tensor3D,
    ids: tf.Tensor,
    from: number,
    caches: readonly { cache: KeyValueCache; memoryCache: KeyValueCache }[] = [],
  ): tf.Tensor3D {
    const t = ids.shape[1]!
    const positions = tf.slice(this.places.weight, [from, 0], [t, this.hiddenDim])
    let x: tf.Tensor = tf.add(this.tokens.forward(ids), positions)
    if (this.training && this.drop.rate > 0) x = this.drop.forward(x)
    for (const [i, block] of this.blocks.modules.entries())
      x = block.forward(x, { memory, causal: true, ...caches[i] })
    return this.head.forward(this.norm.forward(x)) as tf.Tensor3D
  }

  private check(operation: string, z: tf.Tensor, ids?: tf.Tensor): void {
    const { embeddingDim, maxLength } = this
    const [b = 0] = z.shape
    expectShape(
      (z.rank === 2 || z.rank === 3) && z.shape.at(-1) === embeddingDim && z.dtype === 'float32' && b > 0,
      operation,
      `embeddings [B, ${embeddingDim}] or [B, M, ${embeddingDim}] of float32`,
      `a tensor [${z.shape.join(', ')}] of ${z.dtype}`,
      'Pass what an encoder or a quantizer gave.',
    )
    if (ids === undefined) return
    const t = ids.shape[1] ?? 0
    expectShape(
      ids.rank === 2 && ids.shape[0] === b && t > 0 && t <= maxLength && ids.dtype === 'int32',
      operation,
      `int32 ids [${b}, 1 to ${maxLength}]`,
      `a tensor [${ids.shape.join(', ')}] of ${ids.dtype}`,
      'Pass one text per embedding, of at most maxLength tokens.',
    )
  }
}
