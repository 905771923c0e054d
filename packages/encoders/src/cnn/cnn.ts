import { type Random, tf } from '@vq/core'
import { BatchNorm, Conv2d, Linear, Module, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectConvolutions, expectOptions } from '../base/options.js'
import { imageDim } from '../vit/options.js'

export interface ImageCNNOptions {
  /** [H, W, C] of the images; only C counts, other sizes are taken as well. */
  inputDim: readonly number[]
  /** Default 256. */
  embeddingDim?: number
  /** Channels of each stage, which halves height and width. Default [64, 128, 256, 512]. */
  hiddenDims?: readonly number[]
  /** Odd size of the filters. Default 3. */
  kernelSize?: number
  /** Whether two more convolutions behind each stage are added to what they read. Default false. */
  useResidual?: boolean
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

interface StageOptions {
  inChannels: number
  outChannels: number
  kernelSize: number
  useResidual: boolean
  random?: Random
}

/** A convolution with step 2, batch normalisation and ReLU; [B, H, W, in] → [B, ⌈H/2⌉, ⌈W/2⌉, out]. */
class Stage extends Module {
  private readonly conv: Conv2d
  private readonly norm: BatchNorm
  private readonly residual: readonly [Conv2d, BatchNorm, Conv2d, BatchNorm] | undefined

  constructor({ inChannels, outChannels, kernelSize, useResidual, random }: StageOptions) {
    super()
    const generator = random === undefined ? {} : { random }
    const shared = { outChannels, kernelSize, padding: (kernelSize - 1) / 2, ...generator }
    const norm = (): BatchNorm => new BatchNorm({ numFeatures: outChannels })
    this.conv = this.addModule('conv', new Conv2d({ inChannels, stride: 2, ...shared }))
    this.norm = this.addModule('bn', norm())
    if (!useResidual) return
    const same = (): Conv2d => new Conv2d({ inChannels: outChannels, ...shared })
    this.residual = [
      this.addModule('conv1', same()),
      this.addModule('bn1', norm()),
      this.addModule('conv2', same()),
      this.addModule('bn2', norm()),
    ]
  }

  forward(x: tf.Tensor): tf.Tensor {
    const y = this.conv.forwardInto(this.norm, x, { relu: true })
    if (this.residual === undefined) return y
    const [conv1, norm1, conv2, norm2] = this.residual
    const added = norm2.forward(conv2.forward(norm1.forward(conv1.forward(y), { relu: true })))
    return tf.relu(tf.add(y, added))
  }
}

/**
 * Convolutions with step 2, each with batch normalisation and ReLU, the mean over all places and a linear layer: images
 * [B, H, W, C] → an embedding [B, embeddingDim]. `sequence` holds the places of the last feature map, row by row.
 * Throws VqConfigError for options out of range, VqShapeError for images of other channels.
 *
 * @example
 * const { embedding } = new ImageCNNEncoder({ inputDim: [32, 32, 3], embeddingDim: 256 }).forward(images)   // [B, 256]
 */
export class ImageCNNEncoder extends BaseEncoder {
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  /** Channels of each stage. */
  readonly hiddenDims: readonly number[]
  private readonly stages: ModuleList<Stage>
  private readonly fc: Linear

  constructor(options: ImageCNNOptions) {
    super()
    const name = 'ImageCNNEncoder'
    expectOptions(name, options, 'inputDim')
    const { embeddingDim = 256, hiddenDims = [64, 128, 256, 512], kernelSize = 3, random } = options
    const [, , channels] = imageDim(name, options.inputDim)
    expectConvolutions(name, { embeddingDim, hiddenDims, kernelSize })
    const generator = random === undefined ? {} : { random }
    this.inputShape = [null, null, channels]
    this.embeddingDim = embeddingDim
    this.hiddenDims = [...hiddenDims]
    this.stages = this.addModule(
      'stages',
      new ModuleList(
        hiddenDims.map((outChannels, i) => {
          const inChannels = i === 0 ? channels : hiddenDims[i - 1]!
          const useResidual = options.useResidual ?? false
          return new Stage({ inChannels, outChannels, kernelSize, useResidual, ...generator })
        }),
      ),
    )
    const inFeatures = hiddenDims.at(-1)!
    this.fc = this.addModule('fc', new Linear({ inFeatures, outFeatures: embeddingDim, ...generator }))
  }

  /** The last stage's places, [B, h, w, channels]. */
  featureMap(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      let x = images
      for (const stage of this.stages) x = stage.forward(x)
      return x as tf.Tensor4D
    })
  }

  protected encode(images: tf.Tensor): EncoderOutput {
    const map = this.featureMap(images)
    const [b, h, w, c] = map.shape
    const embedding = this.fc.forward(tf.mean(map, [1, 2])) as tf.Tensor2D
    return { embedding, sequence: tf.reshape(map, [b, h * w, c]) }
  }
}
