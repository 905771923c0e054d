export { LatentQuantizer, type LatentQuantizerOptions } from './latent-quantizer.js'
