// The methods as layers. A class is its quantizer's with 'Layer' behind, takes its options, and is known to tfjs-layers'
// `modelFromJSON` and `loadLayersModel` by that name.
import { tf } from '@vq/core'
import { FSQ, type FSQOptions, ResidualFSQ, type ResidualFSQOptions } from '../fsq/index.js'
import { GroupedResidualVQ, type GroupedResidualVQOptions } from '../grouped-residual-vq/index.js'
import { GumbelQuantizer, type GumbelQuantizerOptions } from '../gumbel/index.js'
import { LatentQuantizer, type LatentQuantizerOptions } from '../latent/index.js'
import { LFQ, type LFQOptions, ResidualLFQ, type ResidualLFQOptions } from '../lfq/index.js'
import { ProductQuantizer, type ProductQuantizerOptions } from '../product-quantizer/index.js'
import {
  RandomProjectionQuantizer,
  type RandomProjectionQuantizerOptions,
} from '../random-projection/index.js'
import { ResidualVQ, type ResidualVQOptions } from '../residual-vq/index.js'
import { SimVQ, type SimVQOptions } from '../sim-vq/index.js'
import { VectorQuantizer, type VectorQuantizerOptions } from '../vector-quantizer/index.js'
import type { LayerOptions } from './options.js'
import { QuantizerLayer } from './quantizer-layer.js'

/**
 * {@link VectorQuantizer} as a layer.
 *
 * @example
 * new VectorQuantizerLayer({ numEmbeddings: 512, embeddingDim: 64 })
 */
export class VectorQuantizerLayer extends QuantizerLayer<VectorQuantizer> {
  static className = 'VectorQuantizerLayer'

  constructor(options: VectorQuantizerOptions & LayerOptions) {
    super(options, VectorQuantizer)
  }
}
tf.serialization.registerClass(VectorQuantizerLayer)

/**
 * {@link ResidualVQ} as a layer.
 *
 * @example
 * new ResidualVQLayer({ numEmbeddings: 1024, embeddingDim: 64, numQuantizers: 8 })
 */
export class ResidualVQLayer extends QuantizerLayer<ResidualVQ> {
  static className = 'ResidualVQLayer'

  constructor(options: ResidualVQOptions & LayerOptions) {
    super(options, ResidualVQ)
  }
}
tf.serialization.registerClass(ResidualVQLayer)

/**
 * {@link GroupedResidualVQ} as a layer.
 *
 * @example
 * new GroupedResidualVQLayer({ dim: 64, groups: 2, numEmbeddings: 256 })
 */
export class GroupedResidualVQLayer extends QuantizerLayer<GroupedResidualVQ> {
  static className = 'GroupedResidualVQLayer'

  constructor(options: GroupedResidualVQOptions & LayerOptions) {
    super(options, GroupedResidualVQ)
  }
}
tf.serialization.registerClass(GroupedResidualVQLayer)

/**
 * {@link ProductQuantizer} as a layer.
 *
 * @example
 * new ProductQuantizerLayer({ dim: 128, parts: 8, numEmbeddings: 256 })
 */
export class ProductQuantizerLayer extends QuantizerLayer<ProductQuantizer> {
  static className = 'ProductQuantizerLayer'

  constructor(options: ProductQuantizerOptions & LayerOptions) {
    super(options, ProductQuantizer)
  }
}
tf.serialization.registerClass(ProductQuantizerLayer)

/**
 * {@link SimVQ} as a layer.
 *
 * @example
 * new SimVQLayer({ numEmbeddings: 65536, embeddingDim: 32 })
 */
export class SimVQLayer extends QuantizerLayer<SimVQ> {
  static className = 'SimVQLayer'

  constructor(options: SimVQOptions & LayerOptions) {
    super(options, SimVQ)
  }
}
tf.serialization.registerClass(SimVQLayer)

/**
 * {@link FSQ} as a layer.
 *
 * @example
 * new FSQLayer({ levels: [8, 5, 5, 5], dim: 64 })
 */
export class FSQLayer extends QuantizerLayer<FSQ> {
  static className = 'FSQLayer'

  constructor(options: FSQOptions & LayerOptions) {
    super(options, FSQ)
  }
}
tf.serialization.registerClass(FSQLayer)

/**
 * {@link ResidualFSQ} as a layer.
 *
 * @example
 * new ResidualFSQLayer({ levels: [8, 5, 5], numQuantizers: 4, dim: 64 })
 */
export class ResidualFSQLayer extends QuantizerLayer<ResidualFSQ> {
  static className = 'ResidualFSQLayer'

  constructor(options: ResidualFSQOptions & LayerOptions) {
    super(options, ResidualFSQ)
  }
}
tf.serialization.registerClass(ResidualFSQLayer)

/**
 * {@link LFQ} as a layer.
 *
 * @example
 * new LFQLayer({ codebookSize: 1024, dim: 64 })
 */
export class LFQLayer extends QuantizerLayer<LFQ> {
  static className = 'LFQLayer'

  constructor(options: LFQOptions & LayerOptions) {
    super(options, LFQ)
  }
}
tf.serialization.registerClass(LFQLayer)

/**
 * {@link ResidualLFQ} as a layer.
 *
 * @example
 * new ResidualLFQLayer({ codebookSize: 256, numQuantizers: 4, dim: 64 })
 */
export class ResidualLFQLayer extends QuantizerLayer<ResidualLFQ> {
  static className = 'ResidualLFQLayer'

  constructor(options: ResidualLFQOptions & LayerOptions) {
    super(options, ResidualLFQ)
  }
}
tf.serialization.registerClass(ResidualLFQLayer)

/**
 * {@link LatentQuantizer} as a layer.
 *
 * @example
 * new LatentQuantizerLayer({ levels: [5, 5, 8], dim: 16 })
 */
export class LatentQuantizerLayer extends QuantizerLayer<LatentQuantizer> {
  static className = 'LatentQuantizerLayer'

  constructor(options: LatentQuantizerOptions & LayerOptions) {
    super(options, LatentQuantizer)
  }
}
tf.serialization.registerClass(LatentQuantizerLayer)

/**
 * {@link GumbelQuantizer} as a layer.
 * A callback lowers `layer.quantizer.temperature`.
 *
 * @example
 * new GumbelQuantizerLayer({ numEmbeddings: 512, embeddingDim: 64 })
 */
export class GumbelQuantizerLayer extends QuantizerLayer<GumbelQuantizer> {
  static className = 'GumbelQuantizerLayer'

  constructor(options: GumbelQuantizerOptions & LayerOptions) {
    super(options, GumbelQuantizer)
  }
}
tf.serialization.registerClass(GumbelQuantizerLayer)

/**
 * {@link RandomProjectionQuantizer} as a layer.
 * Nothing in it learns: a fixed bottleneck, through which gradients pass straight.
 *
 * @example
 * new RandomProjectionQuantizerLayer({ dim: 80, numEmbeddings: 8192 })
 */
export class RandomProjectionQuantizerLayer extends QuantizerLayer<RandomProjectionQuantizer> {
  static className = 'RandomProjectionQuantizerLayer'

  constructor(options: RandomProjectionQuantizerOptions & LayerOptions) {
    super(options, RandomProjectionQuantizer)
  }
}
tf.serialization.registerClass(RandomProjectionQuantizerLayer)
