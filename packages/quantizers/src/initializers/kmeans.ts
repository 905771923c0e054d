import { expectConfig, random as globalRandom, type KmeansOptions, kmeans, kmeansSync } from '@vq/core'
import type { InitializerOptions } from './uniform.js'

/**
 * The k-means centroids of vectors (row by row, at least K of them), [K, D] row by row; its seed is drawn from the
 * generator.
 */
export async function kmeansInit(vectors: Float32Array, options: InitializerOptions): Promise<Float32Array> {
  return (await kmeans(vectors, prepare(vectors, options))).centroids
}

/** As {@link kmeansInit}, on this thread. */
export function kmeansInitSync(vectors: Float32Array, options: InitializerOptions): Float32Array {
  return kmeansSync(vectors, prepare(vectors, options)).centroids
}

function prepare(vectors: Float32Array, options: InitializerOptions): KmeansOptions {
  const { numEmbeddings: k, embeddingDim: dim, random = globalRandom } = options
  const rows = vectors.length / dim
  expectConfig(
    rows >= k,
    'k-means start of a codebook',
    `at least ${k} vectors, one per code`,
    rows,
    'Start from several batches together: `await quantizer.initialize(vectors)`.',
  )
  return { k, dim, seed: random.integer(2 ** 32) }
}
