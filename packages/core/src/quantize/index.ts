export type { AsyncCallOptions, CallOptions } from './call.js'
export { ClusterSums } from './cluster-sums.js'
export * from './ema-update.js'
export {
  type Estimator,
  type EstimatorGradientOptions,
  estimatorGradient,
} from './estimator-gradient.js'
export {
  type FsqOptions,
  fsqBoundRows,
  fsqDecode,
  fsqEncode,
  fsqEncodeAsync,
  fsqQuantizeRows,
} from './fsq-encode.js'
export { fsqGradient } from './fsq-gradient.js'
export * from './kmeans.js'
export type { CodesAndValues, DeviceCodesAndValues } from './lattice-call.js'
export { codesOfLevels, type FsqBound } from './levels.js'
export {
  type LfqOptions,
  lfqDecode,
  lfqEncode,
  lfqEncodeAsync,
  lfqQuantizeRows,
} from './lfq-encode.js'
export * from './lfq-entropy.js'
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
