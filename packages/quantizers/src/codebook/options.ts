import { expectConfig, expectInteger, expectNumber, expectOneOf, type Metric, type Random } from '@vq/core'
import { type DataInitializer, dataInitializers } from '../initializers/index.js'
import type { Initializer } from '../initializers/uniform.js'
import type { Distributed } from './distributed.js'

/** What every learned codebook of vectors takes. */
export interface CodebookOptions {
  /** K, the number of codes. */
  numEmbeddings: number
  /** D, the length of a code. */
  embeddingDim: number
  /**
   * 'l2', or 'cosine': vectors and codes are divided by their norms first, so that codes lie on the unit sphere and
   * `quantized` is made of unit codes (Yu et al. 2021, https://arxiv.org/abs/2110.04627, section 3.2). Default 'l2'.
   */
  metric?: Exclude<Metric, 'dot'>
  /**
   * What moves the codes. 'ema': moving averages of the vectors. 'gradient': the gradient of ‖q − sg(z)‖². 'learnable':
   * that, and the gradient of whatever is computed from `quantized`, as of any parameter. Default 'ema'.
   */
  codebookUpdate?: 'ema' | 'gradient' | 'learnable'
  /** Share of the old averages, in [0, 1). Default 0.99. */
  decay?: number
  /** Laplace smoothing of the EMA counts. Default 1e-5. */
  epsilon?: number
  /**
   * Start of the codes. 'kmeans', 'rd-gaussian' and 'water-filling' are made from the first training batch, or from what
   * `await quantizer.initialize(vectors)` is given before ('kmeans' needs at least K vectors). An array holds the codes row
   * by row. Default 'uniform'.
   */
  initCodebook?: 'uniform' | DataInitializer | Float32Array | Initializer
  /**
   * Codes whose moving average of uses per batch falls below this are replaced by random vectors of the batch; 0 turns
   * it off. Default 0.
   */
  deadCodeThreshold?: number
  /**
   * The moving average with which a revived code starts again, and with a threshold above 1 every code at first. Default: twice
   * the threshold, at least 1.
   */
  deadCodeReset?: number
  /** Training steps between two looks for dead codes. Default 1. */
  revivalInterval?: number
  /** Sums the statistics of a batch over processes that train together; see {@link Distributed}. */
  distributed?: Distributed
  /** Draws the first codes and the revived ones. Default: the global generator. */
  random?: Random
}

export type ResolvedCodebook = Required<Omit<CodebookOptions, 'random' | 'distributed'>>

/** Checks and fills in the options of the codebook of quantizer `name`. */
export function resolveCodebook(name: string, options: CodebookOptions): ResolvedCodebook {
  const { numEmbeddings, embeddingDim, codebookUpdate = 'ema', metric = 'l2' } = options
  const { decay = 0.99, epsilon = 1e-5, initCodebook = 'uniform' } = options
  const { deadCodeThreshold = 0, revivalInterval = 1 } = options
  const { deadCodeReset = Math.max(1, 2 * deadCodeThreshold) } = options
  expectInteger(name, 'numEmbeddings', numEmbeddings, 1, 2 ** 31 - 1)
  expectInteger(name, 'embeddingDim', embeddingDim, 1, 2 ** 31 - 1)
  expectOneOf(name, 'codebookUpdate', codebookUpdate, ['ema', 'gradient', 'learnable'])
  expectOneOf(name, 'metric', metric, ['l2', 'cosine'])
  expectNumber(name, 'decay', decay, 0, 1 - 1e-9)
  expectNumber(name, 'epsilon', epsilon, 0, 1)
  expectConfig(
    typeof initCodebook === 'function' ||
      initCodebook instanceof Float32Array ||
      initCodebook === 'uniform' ||
      Object.hasOwn(dataInitializers, initCodebook),
    name,
    `initCodebook to be 'uniform', ${Object.keys(dataInitializers)
      .map(n => `'${n}'`)
      .join(', ')}, a Float32Array or a function`,
    initCodebook,
    'Pass one of these.',
  )
  expectNumber(name, 'deadCodeThreshold', deadCodeThreshold, 0, Number.MAX_VALUE)
  expectNumber(name, 'deadCodeReset', deadCodeReset, deadCodeThreshold, Number.MAX_VALUE)
  expectInteger(name, 'revivalInterval', revivalInterval, 1)
  return {
    numEmbeddings,
    embeddingDim,
    metric,
    codebookUpdate,
    decay,
    epsilon,
    initCodebook,
    deadCodeThreshold,
    deadCodeReset,
    revivalInterval,
  }
}
