export * from './methods.js'
export type { ExtraState, LayerOptions } from './options.js'
export { type LastBatch, QuantizerLayer } from './quantizer-layer.js'
export { QuantizerWeight } from './quantizer-weight.js'
