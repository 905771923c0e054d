export {
  type ProductFitOptions,
  ProductQuantizer,
  type ProductQuantizerOptions,
} from './product-quantizer.js'
