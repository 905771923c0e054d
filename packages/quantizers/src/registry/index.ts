export {
  createQuantizer,
  type QuantizerFactory,
  quantizerConfig,
  quantizerNames,
  registerQuantizer,
} from './registry.js'
export type { AnyQuantizer, QuantizerConfig, QuantizerTypes } from './types.js'
