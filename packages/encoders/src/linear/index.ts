export { LearnedLinearDecoder, LearnedLinearEncoder, type LinearEncoderOptions } from './learned.js'
export { type PCABatch, PCADecoder, PCAEncoder, type PCAOptions } from './pca.js'
