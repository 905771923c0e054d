export {
  codesPerVector,
  createQuantizer,
  type QuantizerSettings,
  type QuantizerType,
  quantizerTypes,
} from './create.js'
export { startQuantizer } from './start.js'
export * from './with-projection.js'
