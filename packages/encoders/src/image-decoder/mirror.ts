import { type Random, VqConfigError } from '@vq/core'
import type { BaseDecoder } from '../base/decoder.js'
import type { BaseEncoder } from '../base/encoder.js'
import { ImageCNNEncoder } from '../cnn/index.js'
import { LearnedLinearDecoder, LearnedLinearEncoder, PCADecoder, PCAEncoder } from '../linear/index.js'
import { DeepLabV3Encoder, ResNetEncoder } from '../resnet/index.js'
import { CNN3DEncoder, VideoTransformerEncoder } from '../video/index.js'
import { VideoDecoder } from '../video-decoder/index.js'
import { VisionTransformerEncoder } from '../vit/index.js'
import { ImageDecoder, type ImageDecoderOptions } from './image-decoder.js'

/**
 * The decoder that goes the way of an image or video encoder back, to outputs of `outputDim` [H, W, C] or [T, H, W, C]: as many
 * transposed convolutions as halve the image there, as wide, fewer where it cannot be halved as often. With `positions` it takes
 * a vector of `latentDim` numbers per place [h, w] of an image, or per step [t] of a video: what `sequence` holds.
 * Throws VqConfigError for encoders that are not of this package.
 *
 * @example
 * const decoder = mirrorDecoder(encoder, { outputDim: [64, 64, 3] })
 */
export function mirrorDecoder(
  encoder: BaseEncoder,
  options: {
    outputDim: readonly number[]
    positions?: readonly number[]
    /** Default: the encoder's embeddingDim. */
    latentDim?: number
    /** Channels of each stage. Default: the encoder's, from the last to the first. */
    hiddenDims?: readonly number[]
    outputActivation?: 'linear' | 'sigmoid' | 'tanh'
    random?: Random
  },
): BaseDecoder {
  const { outputDim, positions, latentDim: embeddingDim = encoder.embeddingDim, random } = options
  const { hiddenDims, outputActivation } = options
  const shared = {
    ...{ embeddingDim, outputDim },
    ...(outputActivation && { outputActivation }),
    ...(random && { random }),
  }
  if (outputDim?.length === 4) {
    const widths = hiddenDims ?? videoWidths(encoder)
    return new VideoDecoder({
      ...shared,
      hiddenDims: halvings(widths, outputDim.slice(1)).hiddenDims!,
      ...(positions && { steps: positions[0]! }),
    })
  }
  if (positions !== undefined) return overGrid(encoder, positions, shared, hiddenDims)
  if (encoder instanceof PCAEncoder) return new PCADecoder(encoder)
  if (encoder instanceof LearnedLinearEncoder)
    return new LearnedLinearDecoder({ inputDim: outputDim, embeddingDim, ...(random && { random }) })
  const stages = hiddenDims === undefined ? stagesOf(encoder, outputDim) : halvings(hiddenDims, outputDim)
  return new ImageDecoder({ ...shared, ...stages })
}

/** From a vector per place to an image: doublings where the places are a power of 2 apart. */
function overGrid(
  encoder: BaseEncoder,
  positions: readonly number[],
  shared: { embeddingDim: number; outputDim: readonly number[] },
  given: readonly number[] | undefined,
): ImageDecoder {
  const grid: [number, number] = [positions[0] ?? 1, positions[1] ?? 1]
  const factor = Math.max(1, Math.round((shared.outputDim[0] ?? 1) / grid[0]))
  const doublings = Math.log2(factor)
  const whole = Number.isInteger(doublings) && doublings > 0
  const known = given ?? stagesOf(encoder, [2 ** 20, 2 ** 20]).hiddenDims ?? [64]
  const widths = Array.from(
    { length: whole ? doublings : 1 },
    (_, i) => known[Math.min(i, known.length - 1)]!,
  )
  return new ImageDecoder({
    ...shared,
    grid,
    hiddenDims: widths,
    factors: whole ? widths.map(() => 2) : [factor],
  })
}

function videoWidths(encoder: BaseEncoder): readonly number[] {
  if (encoder instanceof CNN3DEncoder) return [...encoder.hiddenDims].reverse()
  if (encoder instanceof VideoTransformerEncoder) return [256, 128, 64, 32]
  throw unknownEncoder(encoder)
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
  throw unknownEncoder(encoder)
}

function unknownEncoder(encoder: BaseEncoder): VqConfigError {
  return new VqConfigError({
    operation: 'mirrorDecoder',
    expected:
      'a CNN, a residual network, a Vision Transformer with square patches, PCA, a linear encoder or one of videos',
    received: encoder?.constructor?.name ?? String(encoder),
    remedy: 'Pass { hiddenDims }, or build an ImageDecoder or a VideoDecoder with the stages that you want.',
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
