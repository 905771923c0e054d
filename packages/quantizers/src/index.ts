export * from './analysis/index.js'
export { Projection } from './base/projection.js'
export {
  BaseQuantizer,
  type LevelOutput,
  type QuantizeOptions,
  type QuantizerOutput,
  type RowsOutput,
} from './base/quantizer.js'
export type { Usage } from './base/usage.js'
export type { Distributed } from './codebook/distributed.js'
export type { CodebookOptions } from './codebook/options.js'
export * from './estimators/index.js'
export * from './fsq/index.js'
export * from './grouped-residual-vq/index.js'
export * from './gumbel/index.js'
export * from './initializers/index.js'
export * from './latent/index.js'
export { type LatticeOptions, LatticeQuantizer } from './lattice/lattice-quantizer.js'
export * from './lfq/index.js'
export * from './product-quantizer/index.js'
export * from './random-projection/index.js'
export * from './registry/index.js'
export * from './residual-vq/index.js'
export * from './rq-kmeans/index.js'
export * from './sim-vq/index.js'
export * from './vector-quantizer/index.js'
