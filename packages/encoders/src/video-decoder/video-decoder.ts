import { expectConfig, expectInteger, expectOneOf, type Random, type tf } from '@vq/core'
import { BatchNorm, Conv3d, ConvTranspose3d, Linear, Module, ModuleList } from '@vq/core/nn'
import { EnlargingDecoder } from '../base/enlarging-decoder.js'
import { expectOptions } from '../base/options.js'
import { videoDim } from '../video/video-dim.js'

export interface VideoDecoderOptions {
  /** Length of the embeddings. Default 256. */
  embeddingDim?: number
  /** [T, H, W, C] of the videos: H and W multiples of 2 for each stage, T of as many 2s as it has, up to that. */
  outputDim: readonly number[]
  /** Channels of the first map and behind each enlargement but the last, which keeps them. Default [512, 256, 128, 64]. */
  hiddenDims?: readonly number[]
  /**
   * t: latents are one vector per step in time, [B, t, embeddingDim]; T is t times a power of 2, of at most one 2 per stage.
   * Default: one latent for the whole video, [B, embeddingDim].
   */
  steps?: number
  /** Of the pixels. Default 'linear'. */
  outputActivation?: 'linear' | 'sigmoid' | 'tanh'
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** A transposed convolution, batch normalisation and ReLU: height and width, and where `inTime` the frames, are doubled. */
class Enlarge extends Module {
  private readonly conv: ConvTranspose3d
  protected readonly norm: BatchNorm

  constructor(inChannels: number, outChannels: number, inTime: boolean, random: Random | undefined) {
    super()
    const size = inTime ? { kernelSize: 4, stride: 2 } : ({ kernelSize: [3, 4, 4], stride: [1, 2, 2] } as const) // biome-ignore format: one line
    this.conv = this.addModule(
      'conv',
      new ConvTranspose3d({ inChannels, outChannels, ...size, padding: 1, ...(random && { random }) }),
    )
    this.norm = this.addModule('bn', new BatchNorm({ numFeatures: outChannels }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.norm.forward(this.conv.forward(x), { relu: true })
  }
}

/**
 * Embeddings [B, embeddingDim], or with `steps` one per step in time, → videos [B, ...outputDim]: a linear layer to a small map, transposed convolutions that double
 * height, width and, in the last stages, the frames, and a 3×3×3 convolution to pixels. Mirrors the video encoders.
 * Throws VqConfigError for options out of range and sizes that the stages do not divide.
 *
 * @example
 * new VideoDecoder({ embeddingDim: 256, outputDim: [16, 32, 32, 3] }).forward(embeddings)   // [B, 16, 32, 32, 3]
 */
export class VideoDecoder extends EnlargingDecoder {
  readonly inputShape: readonly number[]
  readonly outputShape: readonly number[]
  protected readonly first: readonly [number, number, number, number]
  protected readonly linear: Linear
  protected readonly norm: BatchNorm
  protected readonly stages: ModuleList<Enlarge>
  protected readonly pixels: Conv3d
  protected readonly activation: 'linear' | 'sigmoid' | 'tanh'

  constructor(options: VideoDecoderOptions) {
    super()
    const name = 'VideoDecoder'
    expectOptions(name, options, 'outputDim')
    const { embeddingDim = 256, hiddenDims = [512, 256, 128, 64], outputActivation = 'linear' } = options
    const { steps, random } = options
    const [frames, height, width, channels] = videoDim(name, options.outputDim)
    expectInteger(name, 'embeddingDim', embeddingDim, 1)
    expectOneOf(name, 'outputActivation', outputActivation, ['linear', 'sigmoid', 'tanh'])
    expectConfig(
      Array.isArray(hiddenDims) && hiddenDims.length > 0 && hiddenDims.length < 20,
      name,
      'hiddenDims to be the channels of each stage',
      hiddenDims,
      'Pass [128, 64].',
    )
    for (const n of hiddenDims) expectInteger(name, 'hiddenDims', n, 1)
    const whole = 2 ** hiddenDims.length
    expectConfig(
      height % whole === 0 && width % whole === 0,
      name,
      `a height and width that are multiples of ${whole}, 2 for each stage`,
      `${height} × ${width}`,
      'Use fewer stages.',
    )
    // The last stages double the frames as often as they can be halved.
    let doublings = 0
    const least = steps ?? 1
    while (
      doublings < hiddenDims.length &&
      frames % 2 ** (doublings + 1) === 0 &&
      frames / 2 ** (doublings + 1) >= least
    )
      doublings++
    expectConfig(
      steps === undefined || frames / 2 ** doublings === steps,
      name,
      `${frames} frames to be a power of 2 times the steps, at most ${hiddenDims.length} doublings`,
      steps,
      'Use other steps, or one latent for the whole video.',
    )
    const generator = random === undefined ? {} : { random }
    this.inputShape = steps === undefined ? [embeddingDim] : [steps, embeddingDim]
    this.outputShape = [frames, height, width, channels]
    this.activation = outputActivation
    this.first = [frames / 2 ** doublings, height / whole, width / whole, hiddenDims[0]!]
    // Of each step a map of its own.
    const map = steps === undefined ? this.first : this.first.slice(1)
    const outFeatures = map.reduce((product, n) => product * n, 1)
    this.linear = this.addModule(
      'linear',
      new Linear({
        inFeatures: embeddingDim,
        outFeatures,
        ...(map.length > 1 && { unflattenedTo: map }),
        ...generator,
      }),
    )
    this.norm = this.addModule('bn', new BatchNorm({ numFeatures: hiddenDims[0]! }))
    const still = hiddenDims.length - doublings
    this.stages = this.addModule(
      'stages',
      new ModuleList(hiddenDims.map((n, i) => new Enlarge(n, hiddenDims[i + 1] ?? n, i >= still, random))),
    )
    this.pixels = this.addModule(
      'out',
      new Conv3d({
        ...{ inChannels: hiddenDims.at(-1)!, outChannels: channels, kernelSize: 3, padding: 1 },
        ...generator,
      }),
    )
  }
}
