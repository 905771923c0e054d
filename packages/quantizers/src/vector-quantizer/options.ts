import { expectConfig, expectInteger, expectNumber, expectOneOf, type Random } from '@vq/core'
import { type EstimatorName, estimators } from '../estimators/index.js'
import type { Initializer } from '../initializers/uniform.js'

export interface VectorQuantizerOptions {
  /** K, the number of codes. */
  numEmbeddings: number
  /** D, the length of a vector. */
  embeddingDim: number
  /** β, the weight of ‖z − sg(q)‖². Default 0.25. */
  commitmentCost?: number
  /** What moves the codebook: moving averages of the vectors, or the gradient of ‖q − sg(z)‖². Default 'ema'. */
  codebookUpdate?: 'ema' | 'gradient'
  /** Share of the old averages, in [0, 1). Default 0.99. */
  decay?: number
  /** Laplace smoothing of the EMA counts. Default 1e-5. */
  epsilon?: number
  /** How the gradient passes the quantizer. Default 'ste'. */
  estimator?: EstimatorName
  /**
   * Start of the codes. 'kmeans' takes the centroids of the first training batch, which must hold at least K vectors,
   * or of what `await quantizer.initialize(vectors)` is given before. Default 'uniform'.
   */
  initCodebook?: 'uniform' | 'kmeans' | Initializer
  /**
   * Codes whose moving average of uses per batch falls below this are replaced by random vectors of the batch; 0 turns
   * it off. Default 0.
   */
  deadCodeThreshold?: number
  /** Training steps between two looks for dead codes. Default 1. */
  revivalInterval?: number
  /** Draws the first codes and the revived ones. Default: the global generator. */
  random?: Random
}

export type Resolved = Required<Omit<VectorQuantizerOptions, 'random'>>

export function resolve(options: VectorQuantizerOptions): Resolved {
  const { numEmbeddings, embeddingDim, commitmentCost = 0.25, codebookUpdate = 'ema' } = options
  const { decay = 0.99, epsilon = 1e-5, estimator = 'ste', initCodebook = 'uniform' } = options
  const { deadCodeThreshold = 0, revivalInterval = 1 } = options
  const name = 'VectorQuantizer'
  expectInteger(name, 'numEmbeddings', numEmbeddings, 1, 2 ** 31 - 1)
  expectInteger(name, 'embeddingDim', embeddingDim, 1, 2 ** 31 - 1)
  expectNumber(name, 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
  expectOneOf(name, 'codebookUpdate', codebookUpdate, ['ema', 'gradient'])
  expectNumber(name, 'decay', decay, 0, 1 - 1e-9)
  expectNumber(name, 'epsilon', epsilon, 0, 1)
  expectOneOf(name, 'estimator', estimator, Object.keys(estimators) as EstimatorName[])
  expectConfig(
    initCodebook === 'uniform' || initCodebook === 'kmeans' || typeof initCodebook === 'function',
    name,
    "initCodebook to be 'uniform', 'kmeans' or a function",
    initCodebook,
    'Pass one of these.',
  )
  expectNumber(name, 'deadCodeThreshold', deadCodeThreshold, 0, Number.MAX_VALUE)
  expectInteger(name, 'revivalInterval', revivalInterval, 1)
  return {
    numEmbeddings,
    embeddingDim,
    commitmentCost,
    codebookUpdate,
    decay,
    epsilon,
    estimator,
    initCodebook,
    deadCodeThreshold,
    revivalInterval,
  }
}
