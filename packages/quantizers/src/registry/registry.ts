import { type Factory, Registry, type TypedConfig } from '@vq/core'
import { FSQ, ResidualFSQ } from '../fsq/index.js'
import { GroupedResidualVQ } from '../grouped-residual-vq/index.js'
import { GumbelQuantizer } from '../gumbel/index.js'
import { LatentQuantizer } from '../latent/index.js'
import { LFQ, ResidualLFQ } from '../lfq/index.js'
import { ProductQuantizer } from '../product-quantizer/index.js'
import { RandomProjectionQuantizer } from '../random-projection/index.js'
import { ResidualVQ } from '../residual-vq/index.js'
import { RQKMeans } from '../rq-kmeans/index.js'
import { SimVQ } from '../sim-vq/index.js'
import { VectorQuantizer } from '../vector-quantizer/index.js'
import type { AnyQuantizer, QuantizerConfig, QuantizerTypes } from './types.js'

/** Makes a quantizer of the options of a configuration, `type` aside. It is the factory that checks them. */
export type QuantizerFactory = Factory<AnyQuantizer>

const builtIn: { readonly [K in keyof QuantizerTypes]: (options: never) => QuantizerTypes[K]['quantizer'] } =
  {
    basic_vq: options => new VectorQuantizer(options),
    vq: options => new VectorQuantizer(options),
    rvq: options => new ResidualVQ(options),
    grouped_rvq: options => new GroupedResidualVQ(options),
    pq: options => new ProductQuantizer(options),
    sim_vq: options => new SimVQ(options),
    fsq: options => new FSQ(options),
    residual_fsq: options => new ResidualFSQ(options),
    lfq: options => new LFQ(options),
    residual_lfq: options => new ResidualLFQ(options),
    latent: options => new LatentQuantizer(options),
    gumbel: options => new GumbelQuantizer(options),
    random_projection: options => new RandomProjectionQuantizer(options),
    rq_kmeans: options => new RQKMeans(options),
  }

const trained = ['forward', 'encode', 'decode', 'codebook', 'usage', 'train', 'eval', 'stateDict', 'dispose']
const fitted = ['fit', 'getCodes', 'transform', 'reconstructFromCodes']
const registry = new Registry<AnyQuantizer>({
  kind: 'quantizer',
  example: 'rvq',
  builtIn: builtIn as unknown as Record<string, QuantizerFactory>,
  methods: [trained, fitted],
})

/**
 * Lets configurations name a quantizer of one's own. Throws VqConfigError where the name is taken, unless `replace` is set.
 *
 * @example
 * registerQuantizer('mine', options => new MyQuantizer(options as MyOptions))
 * const quantizer = createQuantizer({ type: 'mine', dim: 64 })
 */
export function registerQuantizer(
  name: string,
  factory: QuantizerFactory,
  { replace = false }: { replace?: boolean } = {},
): void {
  registry.register('registerQuantizer', name, factory, replace)
}

/** The names that configurations may use, sorted. */
export function quantizerNames(): string[] {
  return registry.names
}

/**
 * The quantizer that a configuration describes, its `type` a name of {@link quantizerNames}, the rest its options. Throws
 * VqConfigError for an unknown name, telling the nearest known one, and where a factory of one's own gives no quantizer.
 *
 * @example
 * createQuantizer({ type: 'rvq', numEmbeddings: 1024, embeddingDim: 64, numQuantizers: 8 })
 */
export function createQuantizer<T extends keyof QuantizerTypes>(
  config: QuantizerConfig<T>,
): QuantizerTypes[T]['quantizer']
export function createQuantizer<T extends string>(
  config: { type: T extends keyof QuantizerTypes ? never : T } & Record<string, unknown>,
): AnyQuantizer
export function createQuantizer(config: { type: string } & Record<string, unknown>): AnyQuantizer {
  return registry.create('createQuantizer', config)
}

/**
 * The configuration of which `createQuantizer` made this quantizer, so that what is saved can name its type; undefined for
 * one that was made by `new`.
 */
export function quantizerConfig(quantizer: AnyQuantizer): TypedConfig | undefined {
  return registry.configOf(quantizer)
}
