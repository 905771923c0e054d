import { expectConfig, expectInteger, expectOneOf, type Random, type tf } from '@vq/core'
import { BatchNorm, Conv2d, ConvTranspose2d, Linear, Module, ModuleList } from '@vq/core/nn'
import { EnlargingDecoder } from '../base/enlarging-decoder.js'
import { expectOptions } from '../base/options.js'
import { imageDim } from '../vit/options.js'

export interface ImageDecoderOptions {
  /** Length of the embeddings. Default 256. */
  embeddingDim?: number
  /** [H, W, C] of the images, H and W multiples of the product of `factors`. */
  outputDim: readonly number[]
  /** Channels of the first map and behind each enlargement but the last, which keeps them. Default [512, 256, 128, 64]. */
  hiddenDims?: readonly number[]
  /** How much larger each stage makes the map. Default: 2 for each of hiddenDims. */
  factors?: readonly number[]
  /**
   * [h, w]: latents are one vector per place, [B, h·w, embeddingDim], row by row; H and W are these times the product of the
   * factors. Default: one latent for the whole image, [B, embeddingDim].
   */
  grid?: readonly [number, number]
  /** Of the pixels. Default 'linear'. */
  outputActivation?: 'linear' | 'sigmoid' | 'tanh'
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** A transposed convolution, batch normalisation and ReLU, [B, H, W, in] → [B, f·H, f·W, out]. */
class Enlarge extends Module {
  private readonly conv: ConvTranspose2d
  protected readonly norm: BatchNorm

  constructor(inChannels: number, outChannels: number, factor: number, random?: Random) {
    super()
    // Filters that overlap their neighbours' where the step is even.
    const overlaps = factor % 2 === 0 && factor <= 4
    this.conv = this.addModule(
      'conv',
      new ConvTranspose2d({
        ...{ inChannels, outChannels, stride: factor },
        ...(overlaps ? { kernelSize: 2 * factor, padding: factor / 2 } : { kernelSize: factor }),
        ...(random && { random }),
      }),
    )
    this.norm = this.addModule('bn', new BatchNorm({ numFeatures: outChannels }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.norm.forward(this.conv.forward(x), { relu: true })
  }
}

/**
 * Embeddings [B, embeddingDim], or with a `grid` one per place, → images [B, ...outputDim]: a linear layer to a small map,
 * transposed convolutions that enlarge it, and a 3×3 convolution to pixels. The mirror image of the image encoders; `mirrorDecoder` makes the one that fits.
 * Throws VqConfigError for options out of range and sizes that the factors do not divide.
 *
 * @example
 * new ImageDecoder({ embeddingDim: 256, outputDim: [64, 64, 3] }).forward(embeddings)   // [B, 64, 64, 3]
 */
export class ImageDecoder extends EnlargingDecoder {
  readonly inputShape: readonly number[]
  readonly outputShape: readonly [number, number, number]
  protected readonly first: readonly [number, number, number]
  protected readonly linear: Linear
  protected readonly norm: BatchNorm
  protected readonly stages: ModuleList<Enlarge>
  protected readonly pixels: Conv2d
  protected readonly activation: 'linear' | 'sigmoid' | 'tanh'

  constructor(options: ImageDecoderOptions) {
    super()
    const name = 'ImageDecoder'
    expectOptions(name, options, 'outputDim')
    const { embeddingDim = 256, hiddenDims = [512, 256, 128, 64], outputActivation = 'linear' } = options
    const { factors = hiddenDims.map(() => 2), grid, random } = options
    this.outputShape = imageDim(name, options.outputDim)
    expectInteger(name, 'embeddingDim', embeddingDim, 1)
    expectOneOf(name, 'outputActivation', outputActivation, ['linear', 'sigmoid', 'tanh'])
    expectConfig(
      Array.isArray(hiddenDims) && hiddenDims.length > 0 && factors.length === hiddenDims.length,
      name,
      'as many factors as hiddenDims, at least one',
      hiddenDims,
      'Pass { hiddenDims: [128, 64], factors: [2, 2] }.',
    )
    for (const n of hiddenDims) expectInteger(name, 'hiddenDims', n, 1)
    for (const n of factors) expectInteger(name, 'factors', n, 1, 64)
    const [height, width, channels] = this.outputShape
    const whole = factors.reduce((product, f) => product * f, 1)
    expectConfig(
      height % whole === 0 && width % whole === 0,
      name,
      `a height and width that are multiples of ${whole}, the product of the factors`,
      `${height} × ${width}`,
      'Use fewer stages or other factors.',
    )
    expectConfig(
      grid === undefined || (grid[0] * whole === height && grid[1] * whole === width),
      name,
      `a grid of ${height / whole} × ${width / whole} places for factors of ${whole} in all`,
      grid?.join(' × '),
      'Use other factors.',
    )
    const generator = random === undefined ? {} : { random }
    this.inputShape = grid === undefined ? [embeddingDim] : [grid[0] * grid[1], embeddingDim]
    this.activation = outputActivation
    this.first = [height / whole, width / whole, hiddenDims[0]!]
    const spread = {
      outFeatures: this.first.reduce((product, n) => product * n, 1),
      unflattenedTo: this.first,
    }
    this.linear = this.addModule(
      'linear',
      new Linear({
        inFeatures: embeddingDim,
        ...(grid === undefined ? spread : { outFeatures: hiddenDims[0]! }),
        ...generator,
      }),
    )
    this.norm = this.addModule('bn', new BatchNorm({ numFeatures: hiddenDims[0]! }))
    this.stages = this.addModule(
      'stages',
      new ModuleList(
        factors.map(
          (factor, i) => new Enlarge(hiddenDims[i]!, hiddenDims[i + 1] ?? hiddenDims[i]!, factor, random),
        ),
      ),
    )
    this.pixels = this.addModule(
      'out',
      new Conv2d({
        ...{ inChannels: hiddenDims.at(-1)!, outChannels: channels, kernelSize: 3, padding: 1 },
        ...generator,
      }),
    )
  }
}
