import { random as globalRandom, type KmeansOptions, kmeans, kmeansSync } from '@vq/core'
import { expectVectors } from './expect-vectors.js'
import type { InitializerOptions } from './uniform.js'

export interface KmeansInitOptions {
  /** Centroids of unit length, of vectors taken by their direction. Default false. */
  spherical?: boolean
  /** Most updates. Default 25. */
  iterations?: number
  /** Where to start. Default: k-means++. */
  init?: Float32Array
}

/**
 * The k-means centroids of vectors (row by row, at least K of them), [K, D] row by row; its seed is drawn from the
 * generator.
 */
export async function kmeansInit(
  vectors: Float32Array,
  options: InitializerOptions,
  own: KmeansInitOptions = {},
): Promise<Float32Array> {
  return (await kmeans(vectors, { ...prepare(vectors, options), ...own })).centroids
}

/** As {@link kmeansInit}, on this thread. */
export function kmeansInitSync(
  vectors: Float32Array,
  options: InitializerOptions,
  own: KmeansInitOptions = {},
): Float32Array {
  return kmeansSync(vectors, { ...prepare(vectors, options), ...own }).centroids
}

function prepare(vectors: Float32Array, options: InitializerOptions): KmeansOptions {
  const { numEmbeddings: k, embeddingDim: dim, random = globalRandom } = options
  expectVectors('k-means start of a codebook', vectors, dim, k)
  return { k, dim, seed: random.integer(2 ** 32) }
}
