import { checkedTextOptions, type TokenTransformerOptions } from './options.js'
import { TokenTransformer } from './token-transformer.js'

/** Defaults: 512 wide, 6 layers, 8 heads, mlpDim 2048, maxLength 512, learned positions, mean pooling, ReLU. */
export type TransformerEncoderOptions = TokenTransformerOptions

/**
 * A transformer encoder over tokens, int32 [B, T] → an embedding [B, embeddingDim] and the tokens [B, T, hiddenDim].
 * Throws as {@link TokenTransformer}. Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.1.
 *
 * @example
 * const encoder = new TransformerEncoder({ vocabSize: 10_000, embeddingDim: 256 })
 * const { embedding } = encoder.forward(ids, { mask })   // [B, 256]
 */
export class TransformerEncoder extends TokenTransformer {
  constructor(options: TransformerEncoderOptions) {
    super(
      checkedTextOptions('TransformerEncoder', options, {
        ...{ hiddenDim: 512, numLayers: 6, numHeads: 8, mlpDim: 2048, maxLength: 512, typeVocabSize: 0 },
        ...{ positions: 'learned', pooling: 'mean', pooler: false, poolerActivation: 'tanh' },
        ...{ normalize: false, causal: false, preNorm: false, embeddingNorm: false, headBias: true },
        ...{ activation: 'relu', epsilon: 1e-5, dropout: 0.1, mlpDropout: options?.dropout ?? 0.1, deviation: 1 }, // biome-ignore format: one line
      }),
    )
  }
}
