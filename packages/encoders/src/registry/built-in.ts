import type { BaseEncoder } from '../base/encoder.js'
import { ImageCNNEncoder } from '../cnn/index.js'
import { LearnedLinearEncoder, PCAEncoder } from '../linear/index.js'
import { DeepLabV3Encoder, ResNetEncoder } from '../resnet/index.js'
import { BertEncoder, LSTMEncoder, TransformerEncoder } from '../text/index.js'
import { CNN3DEncoder, VideoTransformerEncoder } from '../video/index.js'
import { VisionTransformerEncoder } from '../vit/index.js'

/** What each name makes; a factory takes its options in camel case. */
export const builtInEncoders: Readonly<Record<string, (options: never) => BaseEncoder>> = {
  cnn: options => new ImageCNNEncoder(options),
  resnet: options => new ResNetEncoder(options),
  bert: options => new BertEncoder(options),
  lstm: options => new LSTMEncoder(options),
  transformer: options => new TransformerEncoder(options),
  cnn3d: options => new CNN3DEncoder(options),
  video_transformer: options => new VideoTransformerEncoder(options),
  vit: options => new VisionTransformerEncoder(options),
  deeplabv3: options => new DeepLabV3Encoder(options),
  pca: options => new PCAEncoder(options),
  linear: options => new LearnedLinearEncoder(options),
}
