import { VqShapeError } from '@vq/core'
import type { InitializerOptions } from './uniform.js'

/** The centroids of vectors (row by row), at least as many as codes are wanted. */
export async function kmeansInit(
  vectors: Float32Array,
  { numEmbeddings: k, embeddingDim: dim }: InitializerOptions,
): Promise<Float32Array> {
  const n = vectors.length / dim
  throw new VqShapeError({ operation: 'kmeansInit', expected: `${k}`, received: `${n}`, remedy: 'todo' })
}
