export { GumbelQuantizer, type GumbelQuantizerOptions } from './gumbel-quantizer.js'
