export type { AsyncCallOptions, CallOptions } from './call.js'
export { ClusterSums } from './cluster-sums.js'
export * from './ema-update.js'
export {
  type Estimator,
  type EstimatorGradientOptions,
  estimatorGradient,
} from './estimator-gradient.js'
export { type FsqOptions, fsqDecode, fsqEncode, fsqEncodeAsync } from './fsq-encode.js'
export * from './kmeans.js'
export { codesOfLevels, type FsqBound } from './levels.js'
export { type LfqOptions, lfqDecode, lfqEncode, lfqEncodeAsync } from './lfq-encode.js'
export {
  type DeviceNearestResult,
  type Metric,
  type NearestOptions,
  type NearestResult,
  nearest,
  nearestAsync,
} from './nearest.js'
export * from './residual-encode.js'
export * from './revive-dead-codes.js'
