import type * as tf from '@tensorflow/tfjs-core'
import { expectInteger } from '../check.js'
import { embedding } from '../ops/embedding.js'
import type { Random } from '../random.js'
import { normal } from './init.js'
import { Layer } from './layer.js'

export interface EmbeddingOptions {
  numEmbeddings: number
  embeddingDim: number
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** A table of vectors: int32 indices [...] in [0, numEmbeddings) → [..., embeddingDim]. Starts as N(0, 1). */
export class Embedding extends Layer {
  readonly weight: tf.Variable<tf.Rank.R2>

  constructor({ numEmbeddings, embeddingDim, random }: EmbeddingOptions) {
    super()
    expectInteger('Embedding', 'numEmbeddings', numEmbeddings, 1)
    expectInteger('Embedding', 'embeddingDim', embeddingDim, 1)
    this.weight = this.addParameter('weight', normal<tf.Rank.R2>([numEmbeddings, embeddingDim], 0, 1, random))
  }

  forward(indices: tf.Tensor): tf.Tensor {
    return embedding(indices, this.weight)
  }
}
