import { expectConfig, expectInteger, expectNumber, expectOneOf } from '@vq/core'
import type { QuantizeDropoutOptions } from '../base/quantize-dropout.js'
import { type CodebookOptions, type ResolvedCodebook, resolveCodebook } from '../codebook/options.js'
import { type EstimatorName, estimators } from '../estimators/index.js'

export interface ResidualVQOptions extends Omit<CodebookOptions, 'metric'>, QuantizeDropoutOptions {
  /** Q, the number of codes of a vector. Default 4. */
  numQuantizers?: number
  /** Whether all levels use one codebook. Default false. */
  sharedCodebook?: boolean
  /** Length of the vectors. Where it is not embeddingDim, linear layers lead there and back. Default embeddingDim. */
  dim?: number
  /** β, the weight of the commitment loss. Default 0.25. */
  commitmentCost?: number
  /** How the gradient passes the quantizer. Default 'ste'. */
  estimator?: EstimatorName
  /**
   * What the estimator is put around. 'sum': the vector and the sum of its codes, so that straight through the gradient
   * arrives once (Lee et al., equation 7). 'level': each level's residual and code, as in many implementations; straight
   * through, Q times the gradient arrives. Default 'sum'.
   */
  estimatorScope?: 'sum' | 'level'
  /** Paths that encoding keeps at each level; the one with the smallest final error wins. Default 1. */
  beamSize?: number
  /** The same in training. Default 1. */
  trainingBeamSize?: number
}

type Own = Required<Omit<ResidualVQOptions, keyof CodebookOptions>>
export type Resolved = ResolvedCodebook & Own

export function resolve(options: ResidualVQOptions): Resolved {
  const name = 'ResidualVQ'
  const codebook = resolveCodebook(name, { ...options, metric: 'l2' })
  const { numQuantizers = 4, sharedCodebook = false, commitmentCost = 0.25, estimator = 'ste' } = options
  const { dim = codebook.embeddingDim, estimatorScope = 'sum', quantizeDropout = 0 } = options
  const { quantizeDropoutMin = 1, beamSize = 1, trainingBeamSize = 1 } = options
  expectInteger(name, 'numQuantizers', numQuantizers, 1, 1024)
  expectConfig(
    typeof sharedCodebook === 'boolean',
    name,
    'sharedCodebook to be true or false',
    sharedCodebook,
    'Pass one of these.',
  )
  expectInteger(name, 'dim', dim, 1, 2 ** 31 - 1)
  expectNumber(name, 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
  expectOneOf(name, 'estimator', estimator, Object.keys(estimators) as EstimatorName[])
  expectOneOf(name, 'estimatorScope', estimatorScope, ['sum', 'level'])
  expectInteger(name, 'beamSize', beamSize, 1, 1 << 20)
  expectInteger(name, 'trainingBeamSize', trainingBeamSize, 1, 1 << 20)
  return {
    ...codebook,
    numQuantizers,
    sharedCodebook,
    dim,
    commitmentCost,
    estimator,
    estimatorScope,
    quantizeDropout,
    quantizeDropoutMin,
    beamSize,
    trainingBeamSize,
  }
}
