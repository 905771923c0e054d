import * as tf from '@tensorflow/tfjs-core'
import { expectInteger } from '../check.js'
import { embedding } from '../ops/embedding.js'
import type { Random } from '../random.js'
import { expectTensor, optionsOf } from './given.js'
import { normal } from './init.js'
import { Layer } from './layer.js'

export interface EmbeddingOptions {
  numEmbeddings: number
  embeddingDim: number
  /** This row starts as zeros and gets no gradient; negative ones count from the end. Default: none. */
  paddingIdx?: number
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/**
 * A table of vectors: int32 indices [...] in [0, numEmbeddings) → [..., embeddingDim]. `weight` starts as N(0, 1).
 * Throws VqShapeError unless indices are int32, VqValueError naming the first that is no row.
 */
export class Embedding extends Layer {
  /** [numEmbeddings, embeddingDim] */
  readonly weight: tf.Variable<tf.Rank.R2>
  readonly paddingIdx: number | undefined

  constructor(options: EmbeddingOptions) {
    super()
    const { numEmbeddings, embeddingDim, paddingIdx, random } = optionsOf('Embedding', options)
    expectInteger('Embedding', 'numEmbeddings', numEmbeddings, 1)
    expectInteger('Embedding', 'embeddingDim', embeddingDim, 1)
    if (paddingIdx !== undefined)
      expectInteger('Embedding', 'paddingIdx', paddingIdx, -numEmbeddings, numEmbeddings - 1)
    const start = normal<tf.Rank.R2>([numEmbeddings, embeddingDim], 0, 1, random)
    this.weight = this.addParameter('weight', start)
    if (paddingIdx === undefined) return
    const row = paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx
    this.paddingIdx = row
    tf.tidy(() => {
      const rows = tf.reshape(tf.range(0, numEmbeddings, 1, 'int32'), [numEmbeddings, 1])
      this.weight.assign(tf.mul(this.weight, tf.cast(tf.notEqual(rows, row), 'float32')))
    })
  }

  forward(indices: tf.Tensor): tf.Tensor {
    expectTensor('Embedding.forward', indices, ['int32'], 'indices')
    return embedding(
      indices,
      this.weight,
      this.paddingIdx === undefined ? {} : { paddingIdx: this.paddingIdx },
    )
  }
}
