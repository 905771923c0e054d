export { DeepLabV3Encoder, type DeepLabV3Options } from './deeplab.js'
export type { ResNetOptions } from './options.js'
export { ResNetEncoder } from './resnet.js'
