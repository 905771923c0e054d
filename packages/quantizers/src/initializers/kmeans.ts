import { random as globalRandom, type KmeansOptions, kmeans, kmeansSync } from '@vq/core'
import { expectVectors } from './expect-vectors.js'
import type { InitializerOptions } from './uniform.js'

/**
 * The k-means centroids of vectors (row by row, at least K of them), [K, D] row by row; its seed is drawn from the
 * generator. `spherical`: centroids of unit length, of vectors taken by their direction.
 */
export async function kmeansInit(
  vectors: Float32Array,
  options: InitializerOptions,
  { spherical = false }: { spherical?: boolean } = {},
): Promise<Float32Array> {
  return (await kmeans(vectors, { ...prepare(vectors, options), spherical })).centroids
}

/** As {@link kmeansInit}, on this thread. */
export function kmeansInitSync(
  vectors: Float32Array,
  options: InitializerOptions,
  { spherical = false }: { spherical?: boolean } = {},
): Float32Array {
  return kmeansSync(vectors, { ...prepare(vectors, options), spherical }).centroids
}

function prepare(vectors: Float32Array, options: InitializerOptions): KmeansOptions {
  const { numEmbeddings: k, embeddingDim: dim, random = globalRandom } = options
  expectVectors('k-means start of a codebook', vectors, dim, k)
  return { k, dim, seed: random.integer(2 ** 32) }
}
