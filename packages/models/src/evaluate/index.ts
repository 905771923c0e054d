export { type BitsPerPixel, bitsPerPixel, codeCounts, entropy, perplexity, usage } from './codes.js'
export { mse, psnr, SquaredError } from './error.js'
