import { expectConfig, expectInteger, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import type { SegmentationBackbone } from './base.js'
import { DeepLabV3SegmentationBackbone } from './deeplab.js'
import { ResNetSegmentationBackbone, ViTSegmentationBackbone } from './encoder-backbone.js'

export const modelNames = ['vit', 'deeplab', 'resnet', 'small'] as const
export type ModelName = (typeof modelNames)[number]

/** Of a Vision Transformer. */
export interface ViTShape {
  /** Edge of the images that positions are learned for. */
  imageSize: number
  patchSize: number
  hiddenDim: number
  numLayers: number
  numHeads: number
  mlpDim: number
  epsilon: number
}

/** Of a residual network. */
export interface ResNetShape {
  block: 'basic' | 'bottleneck'
  depths: readonly number[]
  widths: readonly number[]
  innerWidths?: readonly number[]
  stemWidth: number
  groups?: number
  outputStride: 8 | 16 | 32
}

/** All that a backbone is made of, as plain JSON: what a checkpoint keeps. */
export interface BackboneConfig {
  model: ModelName
  numClasses: number
  headWidth: number
  vit?: ViTShape
  resnet?: ResNetShape
  /** Dilations of the pyramid in the head of 'deeplab' and 'small'. */
  rates?: readonly number[]
}

export interface BackboneRequest {
  model: ModelName
  numClasses: number
  imageSize?: number
  headWidth?: number
}

const resnet = (depths: readonly number[], bottleneck: boolean): ResNetShape => ({
  block: bottleneck ? 'bottleneck' : 'basic',
  depths,
  widths: [64, 128, 256, 512].map(w => (bottleneck ? 4 * w : w)),
  stemWidth: 64,
  outputStride: 8,
})

/**
 * 'vit': ViT-B/32; 'deeplab': DeepLabV3-ResNet50; 'resnet': ResNet-18 with steps of 8 pixels; 'small': DeepLabV3 of 1.6 million
 * parameters on a thin ResNet-18, for training from scratch on few images.
 */
export function presetOf(request: BackboneRequest): BackboneConfig {
  expectOptions('presetOf', request, "{ model: 'small', numClasses: 3 }")
  const { model, numClasses, imageSize = 224, headWidth } = request
  expectOneOf('createBackbone', 'model', model, modelNames)
  expectInteger('createBackbone', 'numClasses', numClasses, 1)
  const width = headWidth ?? (model === 'small' ? 64 : 256)
  expectInteger('createBackbone', 'headWidth', width, 1)
  const shared = { model, numClasses, headWidth: width }
  if (model === 'vit') {
    const vit = { patchSize: 32, hiddenDim: 768, numLayers: 12, numHeads: 12, mlpDim: 3072, epsilon: 1e-6 }
    return { ...shared, vit: { imageSize, ...vit } }
  }
  if (model === 'deeplab') return { ...shared, resnet: resnet([3, 4, 6, 3], true), rates: [12, 24, 36] }
  if (model === 'resnet') return { ...shared, resnet: resnet([2, 2, 2, 2], false) }
  const thin = { ...resnet([2, 2, 2, 2], false), widths: [32, 64, 128, 128], stemWidth: 32 }
  return { ...shared, resnet: thin, rates: [2, 4, 6] }
}

/** The network of a configuration with random weights. Throws VqConfigError. */
export function createBackbone(config: BackboneConfig, random?: Random): SegmentationBackbone {
  expectOptions('createBackbone', config, "presetOf({ model: 'small', numClasses: 3 })")
  const { numClasses, headWidth, vit, resnet, rates } = config
  const shared = { numClasses, headWidth, ...(random && { random }) }
  if (vit !== undefined) {
    const { imageSize, ...network } = vit
    return new ViTSegmentationBackbone({ ...shared, ...network, inputDim: [imageSize, imageSize, 3] })
  }
  expectConfig(
    resnet !== undefined,
    'createBackbone',
    'the shape of a ViT or of a residual network',
    undefined,
    '',
  )
  const network = { ...resnet, inputDim: [224, 224, 3] }
  return rates === undefined
    ? new ResNetSegmentationBackbone({ ...shared, ...network })
    : new DeepLabV3SegmentationBackbone({ ...shared, ...network, rates })
}
