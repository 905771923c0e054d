import { Random, tf } from '@vq/core'
import type { BaseQuantizer } from '@vq/quantizers'
import {
  FSQLayer,
  GroupedResidualVQLayer,
  GumbelQuantizerLayer,
  LatentQuantizerLayer,
  type LayerOptions,
  LFQLayer,
  ProductQuantizerLayer,
  type QuantizerLayer,
  RandomProjectionQuantizerLayer,
  ResidualFSQLayer,
  ResidualLFQLayer,
  ResidualVQLayer,
  SimVQLayer,
  VectorQuantizerLayer,
} from '@vq/quantizers/layers'

export type AnyLayer = QuantizerLayer<BaseQuantizer>

const k = { numEmbeddings: 16 }
const levels = [5, 4, 3]

/** Layers of vectors of 6 numbers, of every method and with every kind of state. */
export const layerCases: Record<string, (options: LayerOptions) => AnyLayer> = {
  'VectorQuantizer, averages': o => new VectorQuantizerLayer({ ...k, embeddingDim: 6, ...o }),
  'VectorQuantizer, gradients, revival, projections': o =>
    new VectorQuantizerLayer({
      ...k,
      embeddingDim: 4,
      dim: 6,
      codebookUpdate: 'gradient',
      commitmentCost: 1,
      deadCodeThreshold: 0.1,
      ...o,
    }),
  'VectorQuantizer, k-means start, cross-entropy': o =>
    new VectorQuantizerLayer({
      ...k,
      embeddingDim: 6,
      initCodebook: 'kmeans',
      commitment: 'cross-entropy',
      estimator: 'rotation',
      ...o,
    }),
  'ResidualVQ, dropout': o =>
    new ResidualVQLayer({ ...k, embeddingDim: 6, numQuantizers: 3, quantizeDropout: 0.5, ...o }),
  'ResidualVQ, implicit codebooks': o =>
    new ResidualVQLayer({ ...k, embeddingDim: 6, implicitCodebook: { hiddenDim: 5, numBlocks: 1 }, ...o }),
  'GroupedResidualVQ, learnable': o =>
    new GroupedResidualVQLayer({
      ...k,
      dim: 6,
      groups: 2,
      numQuantizers: 2,
      codebookUpdate: 'learnable',
      ...o,
    }),
  'ProductQuantizer, rotated': o => new ProductQuantizerLayer({ ...k, dim: 6, parts: 2, rotate: true, ...o }),
  SimVQ: o => new SimVQLayer({ ...k, embeddingDim: 6, ...o }),
  'FSQ, noise, projections': o => new FSQLayer({ levels, dim: 6, noiseDropout: 0.5, ...o }),
  'ResidualFSQ, two codes': o => new ResidualFSQLayer({ levels, dim: 6, numQuantizers: 2, ...o }),
  LFQ: o => new LFQLayer({ dim: 6, inverseTemperature: 1, entropySampleFraction: 0.5, ...o }),
  'ResidualLFQ, spherical': o =>
    new ResidualLFQLayer({ codebookSize: 64, numQuantizers: 2, spherical: true, ...o }),
  LatentQuantizer: o => new LatentQuantizerLayer({ levels, numCodebooks: 2, ...o }),
  'GumbelQuantizer, straight through': o =>
    new GumbelQuantizerLayer({ ...k, embeddingDim: 6, straightThrough: true, temperature: 0.7, ...o }),
  RandomProjectionQuantizer: o =>
    new RandomProjectionQuantizerLayer({ ...k, dim: 6, embeddingDim: 3, numCodebooks: 2, ...o }),
}

/** Normal numbers: the same for the same seed. */
export function sample(shape: number[], seed = 1): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1)
  return tf.tensor(new Random(seed).fillNormal(new Float32Array(size)), shape)
}

export const values = (t: tf.Tensor): number[] => Array.from(t.dataSync())
