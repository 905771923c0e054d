import { type Random, tf } from '@vq/core'
import { BatchNorm, Conv3d, Linear, Module, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { expectConvolutions, expectOptions } from '../base/options.js'
import { videoDim } from './video-dim.js'

export interface CNN3DOptions {
  /** [T, H, W, C] of the videos; only C counts, other sizes are taken as well. */
  inputDim: readonly number[]
  /** Default 256. */
  embeddingDim?: number
  /** Channels of each stage, which halves frames, height and width. Default [64, 128, 256, 512]. */
  hiddenDims?: readonly number[]
  /** Odd size of the filters. Default 3. */
  kernelSize?: number
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** A convolution with step 2, batch normalisation and ReLU; [B, T, H, W, in] → [B, ⌈T/2⌉, ⌈H/2⌉, ⌈W/2⌉, out]. */
class Stage extends Module {
  private readonly conv: Conv3d
  private readonly norm: BatchNorm

  constructor(inChannels: number, outChannels: number, kernelSize: number, random: Random | undefined) {
    super()
    const generator = random === undefined ? {} : { random }
    const padding = (kernelSize - 1) / 2
    this.conv = this.addModule(
      'conv',
      new Conv3d({ inChannels, outChannels, kernelSize, stride: 2, padding, ...generator }),
    )
    this.norm = this.addModule('bn', new BatchNorm({ numFeatures: outChannels }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return this.norm.forward(this.conv.forward(x), { relu: true })
  }
}

/**
 * Convolutions over time, height and width with step 2, each with batch normalisation and ReLU, the mean over all places and
 * a linear layer: videos [B, T, H, W, C] → an embedding [B, embeddingDim]. `sequence` holds what is left of the frames, each
 * the mean over its places, [B, ⌈T/2ⁿ⌉, channels]. Throws VqConfigError for options out of range, VqShapeError for videos of
 * other channels.
 *
 * @example
 * const { embedding } = new CNN3DEncoder({ inputDim: [16, 32, 32, 3] }).forward(videos)   // [B, 256]
 */
export class CNN3DEncoder extends BaseEncoder {
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  /** Channels of each stage. */
  readonly hiddenDims: readonly number[]
  private readonly stages: ModuleList<Stage>
  private readonly fc: Linear

  constructor(options: CNN3DOptions) {
    super()
    const name = 'CNN3DEncoder'
    expectOptions(name, options, 'inputDim')
    const { embeddingDim = 256, hiddenDims = [64, 128, 256, 512], kernelSize = 3, random } = options
    const [, , , channels] = videoDim(name, options.inputDim)
    expectConvolutions(name, { embeddingDim, hiddenDims, kernelSize })
    this.inputShape = [null, null, null, channels]
    this.embeddingDim = embeddingDim
    this.hiddenDims = [...hiddenDims]
    this.stages = this.addModule(
      'stages',
      new ModuleList(hiddenDims.map((width, i) => new Stage(i === 0 ? channels : hiddenDims[i - 1]!, width, kernelSize, random))), // biome-ignore format: one line
    )
    this.fc = this.addModule(
      'fc',
      new Linear({
        inFeatures: hiddenDims.at(-1)!,
        outFeatures: embeddingDim,
        ...(random === undefined ? {} : { random }),
      }),
    )
  }

  /** The last stage's places, [B, t, h, w, channels]. */
  featureMap(videos: tf.Tensor): tf.Tensor5D {
    return tf.tidy(() => {
      let x = videos
      for (const stage of this.stages) x = stage.forward(x)
      return x as tf.Tensor5D
    })
  }

  protected encode(videos: tf.Tensor): EncoderOutput {
    const sequence = tf.mean(this.featureMap(videos), [2, 3]) as tf.Tensor3D // [B, t, C]
    return { embedding: this.fc.forward(tf.mean(sequence, 1)) as tf.Tensor2D, sequence }
  }
}
