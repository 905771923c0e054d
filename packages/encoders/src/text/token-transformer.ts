import { expectShape, tf } from '@vq/core'
import { Dropout, Embedding, init, LayerNorm, Linear, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncodeOptions, type EncoderOutput, maskOfLengths } from '../base/encoder.js'
import { activated, EncoderLayer } from '../transformer/index.js'
import type { CheckedTextOptions } from './options.js'
import { pooledTokens, tokenAt } from './pooling.js'
import { countedPositions, sinusoidalPositions } from './positions.js'

export interface TextEncodeOptions extends EncodeOptions {
  /** int32 [B, T] in [0, typeVocabSize): the kind of each token, such as the first and the second of two texts. Default 0. */
  tokenTypes?: tf.Tensor
}

/**
 * A transformer over tokens: ids, int32 [B, T] → an embedding [B, embeddingDim] and the tokens behind the last layer
 * [B, T, hiddenDim]. The embedding and the tokens that a mask keeps do not depend on what it leaves out.
 * Throws VqConfigError for options out of range, VqShapeError for texts longer than maxLength, VqValueError for ids that
 * are no token.
 */
export abstract class TokenTransformer extends BaseEncoder {
  override readonly inputType = 'int32'
  override readonly takesMask = true
  readonly inputShape: readonly (number | null)[] = [null]
  readonly embeddingDim: number
  /** Width of the tokens. */
  readonly hiddenDim: number
  readonly vocabSize: number
  readonly maxLength: number
  readonly blocks: ModuleList<EncoderLayer>
  private readonly options: CheckedTextOptions
  private readonly tokens: Embedding
  private readonly types: Embedding | undefined
  private readonly places: Embedding | undefined
  private readonly normEmbed: LayerNorm | undefined
  private readonly norm: LayerNorm | undefined
  private readonly pooler: Linear | undefined
  private readonly head: Linear | undefined
  private readonly drop: Dropout

  constructor(o: CheckedTextOptions) {
    super()
    const { hiddenDim, epsilon, random } = o
    const generator = random === undefined ? {} : { random }
    this.options = o
    this.embeddingDim = o.embeddingDim
    this.hiddenDim = hiddenDim
    this.vocabSize = o.vocabSize
    this.maxLength = o.maxLength - (o.countedFrom === undefined ? 0 : o.countedFrom + 1)
    const table = (name: string, numEmbeddings: number): Embedding => {
      const made = new Embedding({ numEmbeddings, embeddingDim: hiddenDim, ...generator })
      tf.tidy(() => made.weight.assign(tf.mul(made.weight, o.deviation)))
      return this.addModule(name, made)
    }
    this.tokens = table('token_embed', o.vocabSize)
    if (o.positions === 'learned') this.places = table('pos_embed', o.maxLength)
    if (o.typeVocabSize > 0) this.types = table('type_embed', o.typeVocabSize)
    const layerNorm = (): LayerNorm => new LayerNorm({ numFeatures: hiddenDim, epsilon })
    if (o.embeddingNorm) this.normEmbed = this.addModule('norm_embed', layerNorm())
    const { numHeads, mlpDim, activation, preNorm, dropout, attentionDropout, mlpDropout } = o
    const layer = { embedDim: hiddenDim, numHeads, mlpDim, activation, preNorm, epsilon, ...generator }
    this.blocks = this.addModule(
      'blocks',
      new ModuleList(
        Array.from(
          { length: o.numLayers },
          () => new EncoderLayer({ ...layer, dropout, attentionDropout, mlpDropout }),
        ),
      ),
    )
    if (preNorm) this.norm = this.addModule('norm', layerNorm())
    const linear = (outFeatures: number, bias: boolean): Linear => {
      const made = new Linear({ inFeatures: hiddenDim, outFeatures, bias, ...generator })
      tf.tidy(() => made.weight.assign(init.xavierUniform([hiddenDim, outFeatures], generator)))
      return made
    }
    if (o.pooler) this.pooler = this.addModule('pooler', linear(hiddenDim, true))
    if (o.head) this.head = this.addModule('head', linear(o.embeddingDim, o.headBias))
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  override forward(ids: tf.Tensor, options: TextEncodeOptions = {}): EncoderOutput {
    this.check('forward', ids, options)
    return super.forward(ids, options)
  }

  /** What enters the first layer and what each layer gives, [B, T, hiddenDim] each. */
  hiddenStates(ids: tf.Tensor, options: TextEncodeOptions = {}): tf.Tensor3D[] {
    this.check('hiddenStates', ids, options)
    return tf.tidy(() => {
      const { mask, lengths } = options
      const [b, t] = ids.shape as [number, number]
      const operation = `${this.constructor.name}.hiddenStates`
      expectShape(
        mask === undefined || (lengths === undefined && tf.util.arraysEqual(mask.shape, ids.shape)),
        operation,
        `a mask [${b}, ${t}] or lengths`,
        `a mask [${mask?.shape.join(', ')}]${lengths === undefined ? '' : ' and lengths'}`,
        'Pass one flag per token.',
      )
      const flags = lengths === undefined ? mask : maskOfLengths(operation, lengths, b, t)
      const states = [this.embedded(ids, options)]
      const inputs = this.attentionInputs(flags === undefined ? {} : { mask: flags })
      for (const block of this.blocks) states.push(block.forward(states.at(-1)!, inputs))
      return states
    })
  }

  protected encode(ids: tf.Tensor, options: TextEncodeOptions): EncoderOutput {
    let x = this.embedded(ids, options) // [B, T, D] throughout
    const inputs = this.attentionInputs(options)
    for (const block of this.blocks) x = block.forward(x, inputs)
    const sequence = (this.norm?.forward(x) ?? x) as tf.Tensor3D
    const { pooling, poolerActivation, normalize } = this.options
    let y: tf.Tensor =
      pooling === 'eos' ? this.endOf(ids, sequence) : pooledTokens(sequence, options.mask, pooling)
    if (this.pooler !== undefined) y = activated(this.pooler, y, poolerActivation)
    if (this.head !== undefined) y = this.head.forward(y)
    if (normalize) y = tf.div(y, tf.maximum(tf.norm(y, 'euclidean', -1, true), 1e-12))
    return { embedding: y as tf.Tensor2D, sequence }
  }

  private attentionInputs({ mask }: TextEncodeOptions): { causal: boolean; mask?: tf.Tensor } {
    const { causal } = this.options
    if (mask === undefined) return { causal }
    // Of four axes: of two it could be taken for one of queries and keys.
    const flags = mask.dtype === 'bool' ? mask : tf.notEqual(mask, 0)
    return { causal, mask: tf.reshape(flags, [mask.shape[0]!, 1, 1, mask.shape[1]!]) }
  }

  private embedded(ids: tf.Tensor, { tokenTypes }: TextEncodeOptions): tf.Tensor3D {
    const t = ids.shape[1]!
    const { countedFrom } = this.options
    let x: tf.Tensor = this.tokens.forward(ids)
    if (this.types !== undefined)
      x = tf.add(
        x,
        tokenTypes === undefined
          ? tf.slice(this.types.weight, [0, 0], [1, this.hiddenDim])
          : this.types.forward(tokenTypes),
      )
    if (this.places === undefined) x = tf.add(x, sinusoidalPositions(t, this.hiddenDim))
    else if (countedFrom === undefined)
      x = tf.add(x, tf.slice(this.places.weight, [0, 0], [t, this.hiddenDim]))
    else x = tf.add(x, this.places.forward(countedPositions(ids, countedFrom)))
    if (this.normEmbed !== undefined) x = this.normEmbed.forward(x)
    return (this.training && this.drop.rate > 0 ? this.drop.forward(x) : x) as tf.Tensor3D
  }

  // The first end of text; the first token where there is none, as Python's library has it.
  private endOf(ids: tf.Tensor, sequence: tf.Tensor3D): tf.Tensor2D {
    const { eosTokenId } = this.options
    const score = eosTokenId === 'highest' ? ids : tf.cast(tf.equal(ids, eosTokenId!), 'int32')
    return tokenAt(sequence, tf.argMax(score, 1))
  }

  private check(method: string, ids: tf.Tensor, options: TextEncodeOptions): void {
    const operation = this.expectInput(method, ids, options)
    const { tokenTypes } = options
    const [, t = 0] = ids.shape
    expectShape(
      t > 0 && t <= this.maxLength,
      operation,
      `texts of 1 to ${this.maxLength} tokens`,
      `a tensor [${ids.shape.join(', ')}]`,
      'Truncate them, or make an encoder with a larger maxLength.',
    )
    if (tokenTypes === undefined) return
    expectShape(
      this.types !== undefined &&
        tokenTypes instanceof tf.Tensor &&
        tokenTypes.dtype === 'int32' &&
        tf.util.arraysEqual(tokenTypes.shape, ids.shape),
      operation,
      this.types === undefined ? 'no tokenTypes' : `int32 tokenTypes [${ids.shape.join(', ')}]`,
      tokenTypes instanceof tf.Tensor
        ? `a tensor [${tokenTypes.shape.join(', ')}] of ${tokenTypes.dtype}`
        : typeof tokenTypes,
      'They go with encoders whose typeVocabSize is not 0, one per token.',
    )
  }
}
