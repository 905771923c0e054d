export { BaseDecoder } from './base/decoder.js'
export { BaseEncoder, type EncodeOptions, type EncoderOutput } from './base/encoder.js'
