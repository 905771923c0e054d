export type { VectorQuantizerOptions } from './options.js'
export { VectorQuantizer } from './vector-quantizer.js'
