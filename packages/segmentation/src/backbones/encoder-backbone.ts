import { expectConfig, expectInteger, type Random, type tf } from '@vq/core'
import { expectOptions, type Module } from '@vq/core/nn'
import {
  type BaseEncoder,
  ResNetEncoder,
  type ResNetOptions,
  VisionTransformerEncoder,
  type VisionTransformerOptions,
} from '@vq/encoders'
import { SegmentationBackbone } from './base.js'
import { ConvHead } from './conv-head.js'

/** An encoder whose last features lie where they were in the image. */
export interface MapEncoder extends BaseEncoder {
  featureMap(images: tf.Tensor): tf.Tensor4D
}

export interface HeadOptions {
  /** Classes of a pixel. */
  numClasses: number
  /** Channels inside the head. Default 256. */
  headWidth?: number
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/**
 * Any encoder with a feature map, and a head of two convolutions. Names on disk: `backbone.…` as the encoder's,
 * `classifier.0`, `.1`, `.3`.
 */
export class EncoderSegmentationBackbone extends SegmentationBackbone {
  readonly featureDim: number
  readonly numClasses: number
  override readonly inChannels: number
  readonly encoder: MapEncoder
  private readonly classifier: ConvHead

  constructor(encoder: MapEncoder, featureDim: number, options: HeadOptions) {
    super()
    const name = new.target.name
    expectOptions(name, options, '{ numClasses: 3 }')
    expectConfig(
      typeof (encoder as { featureMap?: unknown } | undefined)?.featureMap === 'function',
      name,
      'an encoder with a feature map',
      encoder,
      'Pass a VisionTransformerEncoder or a ResNetEncoder.',
    )
    expectInteger(name, 'featureDim', featureDim, 1)
    const { numClasses, headWidth = 256, random } = options
    this.encoder = this.addModule('backbone', encoder)
    this.featureDim = featureDim
    this.numClasses = numClasses
    this.inChannels = encoder.inputShape[2] ?? 3
    this.classifier = this.addModule(
      'classifier',
      new ConvHead({ inChannels: featureDim, numClasses, width: headWidth, ...(random && { random }) }),
    )
  }

  override get headModule(): Module {
    return this.classifier
  }

  protected features(images: tf.Tensor4D): tf.Tensor4D {
    return this.encoder.featureMap(images)
  }

  protected head(features: tf.Tensor4D): tf.Tensor4D {
    return this.classifier.forward(features)
  }
}

export interface ViTSegmentationOptions extends HeadOptions, Partial<VisionTransformerOptions> {
  /** One with weights, as of `fromPretrained`, instead of the options of a new one. */
  encoder?: VisionTransformerEncoder
}

/**
 * A Vision Transformer's patch tokens and a head of two convolutions; by default ViT-B/32, whose features of images of 224 pixels
 * are [B, 7, 7, 768].
 *
 * @example
 * const backbone = new ViTSegmentationBackbone({ numClasses: 3 })
 * const pretrained = new ViTSegmentationBackbone({ numClasses: 3, encoder: await fromPretrained('vit_b_32.pth') })
 */
export class ViTSegmentationBackbone extends EncoderSegmentationBackbone {
  constructor(options: ViTSegmentationOptions) {
    expectOptions('ViTSegmentationBackbone', options, '{ numClasses: 3 }')
    const { numClasses, headWidth, encoder, ...network } = options
    const { random } = network
    expectConfig(
      encoder === undefined || encoder instanceof VisionTransformerEncoder,
      'ViTSegmentationBackbone',
      'encoder to be a VisionTransformerEncoder',
      encoder,
      'Pass what fromPretrained gives for a Vision Transformer, or leave it out.',
    )
    const made =
      encoder ??
      new VisionTransformerEncoder({
        ...{ inputDim: [224, 224, 3], patchSize: 32, hiddenDim: 768, numLayers: 12, numHeads: 12 },
        ...{ epsilon: 1e-6, dropout: 0 },
        ...network,
      })
    super(made, made.hiddenDim, headOptions(numClasses, headWidth, random))
  }
}

export interface ResNetSegmentationOptions extends HeadOptions, Partial<Omit<ResNetOptions, 'embeddingDim'>> {
  /** One with weights instead of the options of a new one. */
  encoder?: ResNetEncoder
}

/** A dilated residual network and a head of two convolutions; by default ResNet-18, [B, H/8, W/8, 512]. */
export class ResNetSegmentationBackbone extends EncoderSegmentationBackbone {
  constructor(options: ResNetSegmentationOptions) {
    expectOptions('ResNetSegmentationBackbone', options, '{ numClasses: 3 }')
    const { numClasses, headWidth, encoder, ...network } = options
    const { random } = network
    expectConfig(
      encoder === undefined || encoder instanceof ResNetEncoder,
      'ResNetSegmentationBackbone',
      'encoder to be a ResNetEncoder',
      encoder,
      'Pass what fromPretrained gives for a residual network, or leave it out.',
    )
    const dilated = network.outputStride === undefined && network.replaceStrideWithDilation === undefined
    const made =
      encoder ??
      new ResNetEncoder({
        inputDim: [224, 224, 3],
        ...(dilated ? { outputStride: 8 as const } : {}),
        ...network,
      })
    super(made, made.featureDim, headOptions(numClasses, headWidth, random))
  }
}

function headOptions(
  numClasses: number,
  headWidth: number | undefined,
  random: Random | undefined,
): HeadOptions {
  return { numClasses, ...(headWidth !== undefined && { headWidth }), ...(random && { random }) }
}
