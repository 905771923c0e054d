export {
  type BitsPerPixel,
  bitsPerPixel,
  type CodeBits,
  type CountedBits,
} from './bits-per-pixel.js'
export { codeCounts, entropy, perplexity, usage } from './codes.js'
export { mse, psnr, SquaredError } from './error.js'
export { knnJaccard } from './knn-jaccard.js'
export type { LabelledCodes, LabelledFeatures } from './labelled.js'
export { linearCka } from './linear-cka.js'
export { type LinearProbe, type LinearProbeOptions, linearProbe } from './linear-probe.js'
export { normalizedMutualInformation, normalizedMutualInformationOfCounts } from './mutual-information.js'
export { nearestNeighborAccuracy } from './nearest-neighbor-accuracy.js'
export { type PwccaOptions, pwcca } from './pwcca.js'
export {
  type LevelPoint,
  type RateDistortion,
  type RatePoint,
  rateDistortion,
  residualRatePoints,
} from './rate-distortion.js'
export type { Features } from './rows.js'
export { type RsaOptions, rsa } from './rsa.js'
export { type SsimOptions, ssim, ssimOfImages } from './ssim.js'
