import { type Random, VqConfigError } from '@vq/core'
import type { BaseDecoder } from '../base/decoder.js'
import type { BaseEncoder } from '../base/encoder.js'
import { ImageCNNEncoder } from '../cnn/index.js'
import { LearnedLinearDecoder, LearnedLinearEncoder, PCADecoder, PCAEncoder } from '../linear/index.js'
import { DeepLabV3Encoder, ResNetEncoder } from '../resnet/index.js'
import { VisionTransformerEncoder } from '../vit/index.js'
import { ImageDecoder, type ImageDecoderOptions } from './image-decoder.js'

/**
 * The decoder that goes the way of an image encoder back, to images of `outputDim` [H, W, C]: as many transposed convolutions
 * as halve the image there, as wide, fewer where the image cannot be halved as often. Throws VqConfigError for encoders that
 * are not of this package.
 *
 * @example
 * const decoder = mirrorDecoder(encoder, { outputDim: [64, 64, 3] })
 */
export function mirrorDecoder(
  encoder: BaseEncoder,
  options: {
    outputDim: readonly number[]
    outputActivation?: 'linear' | 'sigmoid' | 'tanh'
    random?: Random
  },
): BaseDecoder {
  const { embeddingDim } = encoder
  const { outputDim, random } = options
  if (encoder instanceof PCAEncoder) return new PCADecoder(encoder)
  if (encoder instanceof LearnedLinearEncoder)
    return new LearnedLinearDecoder({ inputDim: outputDim, embeddingDim, ...(random && { random }) })
  return new ImageDecoder({ ...options, embeddingDim, ...stagesOf(encoder, outputDim) })
}

function stagesOf(
  encoder: BaseEncoder,
  outputDim: readonly number[],
): Pick<ImageDecoderOptions, 'hiddenDims' | 'factors'> {
  if (encoder instanceof ImageCNNEncoder) return halvings([...encoder.hiddenDims].reverse(), outputDim)
  if (encoder instanceof DeepLabV3Encoder || encoder instanceof ResNetEncoder)
    return halvings([512, 256, 128, 64, 64], outputDim)
  if (encoder instanceof VisionTransformerEncoder) {
    const [patch, other] = encoder.patchSize
    const doublings = Math.log2(patch)
    const widths = (count: number): number[] =>
      Array.from({ length: count }, (_, i) => Math.max(16, encoder.hiddenDim >> i))
    if (patch === other && doublings >= 1 && Number.isInteger(doublings))
      return halvings(widths(doublings), outputDim)
    if (patch === other) return { hiddenDims: widths(1), factors: [patch] }
  }
  throw new VqConfigError({
    operation: 'mirrorDecoder',
    expected: 'a CNN, a residual network, a Vision Transformer with square patches, PCA or a linear encoder',
    received: encoder?.constructor?.name ?? String(encoder),
    remedy: 'Build an ImageDecoder with the stages that you want.',
  })
}

/** The last of these widths, as many as the image can be halved. */
function halvings(
  widths: readonly number[],
  [height = 1, width = 1]: readonly number[],
): Pick<ImageDecoderOptions, 'hiddenDims' | 'factors'> {
  let most = 0
  while (height % 2 ** (most + 1) === 0 && width % 2 ** (most + 1) === 0) most++
  const count = Math.min(most, widths.length)
  if (count === 0) return { hiddenDims: widths.slice(-1), factors: [1] }
  return { hiddenDims: widths.slice(-count), factors: new Array<number>(count).fill(2) }
}
