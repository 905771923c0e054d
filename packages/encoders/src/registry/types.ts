import type { BaseEncoder } from '../base/encoder.js'
import type { ImageCNNEncoder, ImageCNNOptions } from '../cnn/index.js'
import type { LearnedLinearEncoder, LinearEncoderOptions, PCAEncoder, PCAOptions } from '../linear/index.js'
import type { DeepLabV3Encoder, DeepLabV3Options, ResNetEncoder, ResNetOptions } from '../resnet/index.js'
import type {
  BertEncoder,
  LSTMEncoder,
  LSTMEncoderOptions,
  TokenTransformerOptions,
  TransformerEncoder,
} from '../text/index.js'
import type {
  CNN3DEncoder,
  CNN3DOptions,
  VideoTransformerEncoder,
  VideoTransformerOptions,
} from '../video/index.js'
import type { VisionTransformerEncoder, VisionTransformerOptions } from '../vit/index.js'

/**
 * What each name makes, of which options. One's own name joins the types by declaration merging:
 * `declare module '@vq/encoders' { interface EncoderTypes { mine: { options: MyOptions; encoder: Mine } } }`.
 */
export interface EncoderTypes {
  cnn: { options: ImageCNNOptions; encoder: ImageCNNEncoder }
  resnet: { options: ResNetOptions; encoder: ResNetEncoder }
  lstm: { options: LSTMEncoderOptions; encoder: LSTMEncoder }
  transformer: { options: TokenTransformerOptions; encoder: TransformerEncoder }
  bert: { options: TokenTransformerOptions; encoder: BertEncoder }
  cnn3d: { options: CNN3DOptions; encoder: CNN3DEncoder }
  video_transformer: { options: VideoTransformerOptions; encoder: VideoTransformerEncoder }
  vit: { options: VisionTransformerOptions; encoder: VisionTransformerEncoder }
  deeplabv3: { options: DeepLabV3Options; encoder: DeepLabV3Encoder }
  /** Fitted, not trained: `await encoder.fit(batches)` first. */
  pca: { options: PCAOptions; encoder: PCAEncoder }
  linear: { options: LinearEncoderOptions; encoder: LearnedLinearEncoder }
}

/** A configuration of an encoder: its name and its options. */
export type EncoderConfig<T extends keyof EncoderTypes = keyof EncoderTypes> = {
  [K in T]: { type: K } & EncoderTypes[K]['options']
}[T]

/** What a name makes. */
export type EncoderOf<T extends keyof EncoderTypes> = EncoderTypes[T]['encoder'] extends infer E extends
  BaseEncoder
  ? E
  : BaseEncoder
