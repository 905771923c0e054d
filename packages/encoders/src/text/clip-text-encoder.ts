import { checkedTextOptions, type TokenTransformerOptions } from './options.js'
import { TokenTransformer } from './token-transformer.js'

/** Defaults: CLIP's: 512 wide, 12 layers, 8 heads, mlpDim 2048, maxLength 77, causal, pooling 'eos', whose id must be given. */
export type ClipTextEncoderOptions = TokenTransformerOptions

/**
 * CLIP's text tower: int32 ids [B, T] → an embedding [B, embeddingDim], the token at the text's end, projected. Tokens see
 * those before them only. Throws as {@link TokenTransformer}.
 * Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 2.4.
 */
export class ClipTextEncoder extends TokenTransformer {
  constructor(options: ClipTextEncoderOptions) {
    super(
      checkedTextOptions('ClipTextEncoder', options, {
        ...{ hiddenDim: 512, numLayers: 12, numHeads: 8, mlpDim: 2048, maxLength: 77, typeVocabSize: 0 },
        ...{ positions: 'learned', pooling: 'eos', pooler: false, poolerActivation: 'tanh' },
        ...{ normalize: false, causal: true, preNorm: true, embeddingNorm: false, headBias: false },
        ...{ activation: 'quick_gelu', epsilon: 1e-5, dropout: 0, mlpDropout: 0, deviation: 0.02 },
      }),
    )
  }
}
