export type { SamplingOptions } from './choose-tokens.js'
export { type GenerateOptions, TextDecoder, type TextDecoderOptions } from './text-decoder.js'
