import { checkedTextOptions, type TokenTransformerOptions } from './options.js'
import { TokenTransformer } from './token-transformer.js'

/** Defaults: BERT base's: 768 wide, 12 layers, 12 heads, mlpDim 3072, maxLength 512, 2 kinds of tokens, pooling 'cls'. */
export type BertEncoderOptions = TokenTransformerOptions

/**
 * BERT: int32 ids [B, T] → an embedding [B, embeddingDim], the first token behind a linear layer and tanh, and the tokens
 * [B, T, hiddenDim]. `tokenTypes` tells two texts apart. RoBERTa, DistilBERT and their like are this with other options.
 * Throws as {@link TokenTransformer}. Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 3.
 *
 * @example
 * const encoder = new BertEncoder({ vocabSize: 30_522, numLayers: 4 })
 * const { embedding, sequence } = encoder.forward(ids, { mask, tokenTypes })   // [B, 768], [B, T, 768]
 */
export class BertEncoder extends TokenTransformer {
  constructor(options: BertEncoderOptions) {
    super(
      checkedTextOptions('BertEncoder', options, {
        ...{ hiddenDim: 768, numLayers: 12, numHeads: 12, mlpDim: 3072, maxLength: 512, typeVocabSize: 2 },
        ...{ positions: 'learned', pooling: 'cls', poolerActivation: 'tanh', normalize: false },
        ...{ pooler: (options?.pooling ?? 'cls') === 'cls', causal: false, preNorm: false },
        ...{ embeddingNorm: true, headBias: true, activation: 'gelu', epsilon: 1e-12, dropout: 0.1 },
        ...{ mlpDropout: 0, deviation: 0.02 },
      }),
    )
  }
}
