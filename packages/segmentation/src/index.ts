export { type FeatureOptions, SegmentationBackbone } from './backbones/base.js'
export { ConvHead, type ConvHeadOptions } from './backbones/conv-head.js'
export {
  type BackboneConfig,
  type BackboneRequest,
  createBackbone,
  type ModelName,
  modelNames,
  presetOf,
  type ResNetShape,
  type ViTShape,
} from './backbones/create.js'
export { DeepLabV3SegmentationBackbone, type DeepLabV3SegmentationOptions } from './backbones/deeplab.js'
export {
  EncoderSegmentationBackbone,
  type HeadOptions,
  type MapEncoder,
  ResNetSegmentationBackbone,
  type ResNetSegmentationOptions,
  ViTSegmentationBackbone,
  type ViTSegmentationOptions,
} from './backbones/encoder-backbone.js'
export { pretrainedBackbone } from './backbones/pretrained.js'
export {
  type FeatureData,
  type FeatureDataOptions,
  featureData,
  sampleVectors,
} from './cache/features.js'
export { type ClearMLOptions, ClearMLTask } from './clearml/clearml.js'
export * from './data/index.js'
export * from './losses/index.js'
export * from './measure/index.js'
export {
  buildModel,
  loadSegmentation,
  type SegmentationConfig,
  saveSegmentation,
} from './model/checkpoint.js'
export { FeatureStage } from './model/feature-stage.js'
export type { Normalization } from './model/normalization.js'
export {
  BaselineModule,
  type SegmentationResults,
  SqueezeModule,
  type SqueezeModuleOptions,
} from './model/squeeze-module.js'
export * from './quantizers/index.js'
export { type FitSettings, type Fitted, fitSegmentation } from './train/fit.js'
