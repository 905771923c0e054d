export { BaseDecoder } from './base/decoder.js'
export { BaseEncoder, type EncodeOptions, type EncoderOutput } from './base/encoder.js'
export * from './pretrained/index.js'
export * from './registry/index.js'
