export { type FeatureOptions, SegmentationBackbone } from './backbones/base.js'
