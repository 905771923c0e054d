import { expectConfig, type tf } from '@vq/core'
import { expectOptions, type Module } from '@vq/core/nn'
import { DeepLabV3Encoder, type DeepLabV3Options } from '@vq/encoders'
import { SegmentationBackbone } from './base.js'

export interface DeepLabV3SegmentationOptions extends Partial<DeepLabV3Options> {
  numClasses: number
}

/**
 * DeepLabV3: a dilated residual network, by default ResNet-50, whose features of images of 224 pixels are [B, 28, 28, 2048],
 * and a head with atrous spatial pyramid pooling. Names on disk are torchvision's (`backbone.…`, `classifier.…`).
 * Source: Chen et al. 2017, https://arxiv.org/abs/1706.05587.
 *
 * @example
 * const backbone = new DeepLabV3SegmentationBackbone({ numClasses: 3 })
 * backbone.forward(images)   // [B, 224, 224, 3]
 */
export class DeepLabV3SegmentationBackbone extends SegmentationBackbone {
  readonly featureDim: number
  readonly numClasses: number
  override readonly inChannels: number
  private readonly network: DeepLabV3Encoder
  private readonly classifier: Module

  constructor(options: DeepLabV3SegmentationOptions | { network: DeepLabV3Encoder }) {
    super()
    expectOptions('DeepLabV3SegmentationBackbone', options, '{ numClasses: 3 }')
    const given = 'network' in options ? options.network : undefined
    expectConfig(
      given === undefined || (given instanceof DeepLabV3Encoder && given.numClasses !== undefined),
      'DeepLabV3SegmentationBackbone',
      'network to be a DeepLabV3Encoder with numClasses',
      given,
      'Pass { numClasses } or a network with a head.',
    )
    const network = given ?? new DeepLabV3Encoder({ inputDim: [224, 224, 3], ...(options as object) })
    expectConfig(
      network.numClasses !== undefined,
      'DeepLabV3SegmentationBackbone',
      'numClasses',
      undefined,
      'Pass { numClasses: 3 }.',
    )
    this.network = network
    this.numClasses = network.numClasses
    this.featureDim = network.embeddingDim
    this.inChannels = network.inputShape[2] ?? 3
    this.addModule('backbone', network.backbone)
    this.classifier = this.addModule('classifier', network.submodule('classifier'))
  }

  override get headModule(): Module {
    return this.classifier
  }

  protected features(images: tf.Tensor4D): tf.Tensor4D {
    return this.network.featureMap(images)
  }

  protected head(features: tf.Tensor4D): tf.Tensor4D {
    return this.network.classify(features)
  }
}
