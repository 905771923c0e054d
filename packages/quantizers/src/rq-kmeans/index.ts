export type { FitProgress } from './fit.js'
export type { RQKMeansOptions } from './options.js'
export type { QuantizationQuality, StageQuality } from './quality.js'
export {
  type KmeansComparison,
  type Like,
  RQKMeans,
  type RQKMeansFitOptions,
  type StageReconstruction,
} from './rq-kmeans.js'
export type { RowSource, Rows } from './source.js'
export type { StageStart } from './start.js'
