import { random as globalRandom, type Random } from '@vq/core'

export interface InitializerOptions {
  numEmbeddings: number
  embeddingDim: number
  /** Default: the global generator. */
  random?: Random
}

/** Makes the first codes, [numEmbeddings, embeddingDim] row by row. */
export type Initializer = (options: InitializerOptions) => Float32Array

/** U[−1/K, 1/K], the start of van den Oord et al. 2017 in its published code. */
export function uniformInit({
  numEmbeddings,
  embeddingDim,
  random = globalRandom,
}: InitializerOptions): Float32Array {
  const codes = new Float32Array(numEmbeddings * embeddingDim)
  return random.fillUniform(codes, -1 / numEmbeddings, 1 / numEmbeddings)
}
