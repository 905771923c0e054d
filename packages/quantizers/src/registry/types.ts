import type { BaseQuantizer } from '../base/quantizer.js'
import type { FSQ, FSQOptions, ResidualFSQ, ResidualFSQOptions } from '../fsq/index.js'
import type { GroupedResidualVQ, GroupedResidualVQOptions } from '../grouped-residual-vq/index.js'
import type { GumbelQuantizer, GumbelQuantizerOptions } from '../gumbel/index.js'
import type { LatentQuantizer, LatentQuantizerOptions } from '../latent/index.js'
import type { LFQ, LFQOptions, ResidualLFQ, ResidualLFQOptions } from '../lfq/index.js'
import type { ProductQuantizer, ProductQuantizerOptions } from '../product-quantizer/index.js'
import type {
  RandomProjectionQuantizer,
  RandomProjectionQuantizerOptions,
} from '../random-projection/index.js'
import type { ResidualVQ, ResidualVQOptions } from '../residual-vq/index.js'
import type { RQKMeans, RQKMeansOptions } from '../rq-kmeans/index.js'
import type { SimVQ, SimVQOptions } from '../sim-vq/index.js'
import type { VectorQuantizer, VectorQuantizerOptions } from '../vector-quantizer/index.js'

/**
 * What each name makes, of which options. One's own name joins the types by declaration merging:
 * `declare module '@vq/quantizers' { interface QuantizerTypes { mine: { options: MyOptions; quantizer: Mine } } }`.
 */
export interface QuantizerTypes {
  /** Also called 'vq'. */
  basic_vq: { options: VectorQuantizerOptions; quantizer: VectorQuantizer }
  vq: { options: VectorQuantizerOptions; quantizer: VectorQuantizer }
  rvq: { options: ResidualVQOptions; quantizer: ResidualVQ }
  grouped_rvq: { options: GroupedResidualVQOptions; quantizer: GroupedResidualVQ }
  pq: { options: ProductQuantizerOptions; quantizer: ProductQuantizer }
  sim_vq: { options: SimVQOptions; quantizer: SimVQ }
  fsq: { options: FSQOptions; quantizer: FSQ }
  residual_fsq: { options: ResidualFSQOptions; quantizer: ResidualFSQ }
  lfq: { options: LFQOptions; quantizer: LFQ }
  residual_lfq: { options: ResidualLFQOptions; quantizer: ResidualLFQ }
  latent: { options: LatentQuantizerOptions; quantizer: LatentQuantizer }
  gumbel: { options: GumbelQuantizerOptions; quantizer: GumbelQuantizer }
  random_projection: { options: RandomProjectionQuantizerOptions; quantizer: RandomProjectionQuantizer }
  /** Fitted, not trained: `await quantizer.fit(rows)` first. */
  rq_kmeans: { options: RQKMeansOptions; quantizer: RQKMeans }
}

/** Trained with the rest of a model, or fitted to vectors. */
export type AnyQuantizer = BaseQuantizer | RQKMeans

/** A configuration of a quantizer: its name and its options. */
export type QuantizerConfig<T extends keyof QuantizerTypes = keyof QuantizerTypes> = {
  [K in T]: { type: K } & QuantizerTypes[K]['options']
}[T]
