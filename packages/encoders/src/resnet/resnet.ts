import { expectInteger, tf } from '@vq/core'
import { type BatchNorm, type Conv2d, Linear, MaxPool2d, ModuleList } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput } from '../base/encoder.js'
import { type ActivationName, activate } from '../transformer/index.js'
import { convolution, ResidualBlock } from './blocks.js'
import { type CheckedResNet, checkedResNet, type ResNetOptions } from './options.js'

/**
 * A residual network, images [B, H, W, C] → an embedding [B, embeddingDim]: a 7×7 convolution and max pooling with steps of 2,
 * stages of residual blocks, the mean over all places, and a linear layer where `embeddingDim` is given. `sequence` holds the
 * places of the last feature map, row by row. Names on disk are torchvision's (`layer1.0.conv1.weight`).
 * Throws VqConfigError for options out of range, VqShapeError for images of other channels.
 * Source: He et al. 2015, https://arxiv.org/abs/1512.03385; dilation: Yu, Koltun, Funkhouser 2017,
 * https://arxiv.org/abs/1705.09914.
 *
 * @example
 * new ResNetEncoder({ inputDim: [64, 64, 3], embeddingDim: 256 })                      // ResNet-18
 * new ResNetEncoder({ inputDim: [224, 224, 3], depth: 50, outputStride: 8 }).featureMap(images)   // [B, 28, 28, 2048]
 */
export class ResNetEncoder extends BaseEncoder {
  readonly inputShape: readonly (number | null)[]
  readonly embeddingDim: number
  /** Channels of the feature map. */
  readonly featureDim: number
  private readonly conv1: Conv2d
  private readonly bn1: BatchNorm
  private readonly pool = new MaxPool2d({ kernelSize: 3, stride: 2, padding: 1 })
  private readonly stages: readonly ModuleList<ResidualBlock>[]
  private readonly activation: ActivationName
  private readonly fc: Linear | undefined

  constructor(options: ResNetOptions) {
    super()
    const network = checkedResNet('ResNetEncoder', options)
    const { embeddingDim, random } = options
    const generator = random === undefined ? {} : { random }
    const stem = convolution(network.channels, network.stemWidth, 7, { stride: 2, ...generator })
    this.inputShape = [null, null, network.channels]
    this.activation = network.activation
    this.conv1 = this.addModule('conv1', stem.conv)
    this.bn1 = this.addModule('bn1', stem.norm)
    this.stages = stagesOf(network, generator).map((stage, i) => this.addModule(`layer${i + 1}`, stage))
    this.featureDim = network.stages.at(-1)!.width
    this.embeddingDim = embeddingDim ?? this.featureDim
    if (embeddingDim === undefined) return
    expectInteger('ResNetEncoder', 'embeddingDim', embeddingDim, 1)
    this.fc = this.addModule(
      'fc',
      new Linear({ inFeatures: this.featureDim, outFeatures: embeddingDim, ...generator }),
    )
  }

  /** What enters the first stage and what each stage gives, [B, h, w, channels] each. */
  hiddenStates(images: tf.Tensor): tf.Tensor4D[] {
    this.expectInput('hiddenStates', images)
    return tf.tidy(() => {
      const states = [this.stem(images)]
      for (const stage of this.stages) states.push(through(stage, states.at(-1)!))
      return states
    })
  }

  /** The last stage's places, [B, h, w, featureDim]. */
  featureMap(images: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => {
      let x = this.stem(images)
      for (const stage of this.stages) x = through(stage, x)
      return x
    })
  }

  protected encode(images: tf.Tensor): EncoderOutput {
    const map = this.featureMap(images)
    const [b, h, w, c] = map.shape
    const pooled = tf.mean(map, [1, 2]) as tf.Tensor2D
    const embedding = (this.fc?.forward(pooled) ?? pooled) as tf.Tensor2D
    return { embedding, sequence: tf.reshape(map, [b, h * w, c]) }
  }

  private stem(images: tf.Tensor): tf.Tensor4D {
    const fused = this.activation === 'relu'
    const y = this.conv1.forwardInto(this.bn1, images, { relu: fused })
    return this.pool.forward(fused ? y : activate(y, this.activation))
  }
}

function through(stage: ModuleList<ResidualBlock>, x: tf.Tensor4D): tf.Tensor4D {
  let y = x
  for (const block of stage) y = block.forward(y)
  return y
}

function stagesOf(
  { stages, stemWidth, block, groups, stepAt, activation }: CheckedResNet,
  generator: Pick<ResNetOptions, 'random'>,
): ModuleList<ResidualBlock>[] {
  let inChannels = stemWidth
  return stages.map(({ depth, width, innerWidth, stride, dilations }) => {
    const blocks = Array.from({ length: depth }, (_, i) => {
      const made = new ResidualBlock(block, {
        inChannels,
        ...{ width, innerWidth, groups, stepAt, activation, ...generator },
        stride: i === 0 ? stride : 1,
        dilation: dilations[i === 0 ? 0 : 1],
      })
      inChannels = width
      return made
    })
    return new ModuleList(blocks)
  })
}
