import { expectConfig, expectInteger, expectNumber, expectOneOf } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { type CodebookOptions, type ResolvedCodebook, resolveCodebook } from '../codebook/options.js'
import { type EstimatorName, estimators } from '../estimators/index.js'

export interface VectorQuantizerOptions extends CodebookOptions {
  /**
   * Length of the vectors. Where it is not heads·embeddingDim, linear layers lead there and back (Yu et al. 2021,
   * https://arxiv.org/abs/2110.04627, section 3.2). Default heads·embeddingDim.
   */
  dim?: number
  /** Parts of a vector that get a code each; indices then are [..., heads]. Default 1. */
  heads?: number
  /** Whether each head has its own codes. Default false: all share one codebook. */
  separateCodebooks?: boolean
  /** β, the weight of the commitment loss. Default 0.25. */
  commitmentCost?: number
  /**
   * 'mse': mean((z − sg(q))²). 'cross-entropy': of the softmax over −‖z − e‖², or cos(z, e), with the code chosen. Default
   * 'mse'.
   */
  commitment?: 'mse' | 'cross-entropy'
  /** How the gradient passes the quantizer. Default 'ste'. */
  estimator?: EstimatorName
  /** Temperature τ with which codes are drawn from softmax(−‖z − e‖²/τ) in training; 0 takes the nearest. Default 0. */
  sampleTemperature?: number
  /** Weight of ‖ÊÊᵀ − I‖²/K², which keeps codes apart; for codes that learn by gradients. Default 0. */
  orthogonalWeight?: number
  /** Only the codes chosen in the batch count in it. Default false. */
  orthogonalActiveOnly?: boolean
  /** At most this many codes, drawn anew each time, count in it. Default: all. */
  orthogonalMaxCodes?: number
  /** Weight of log K less the entropy of the batch's mean soft assignment: 0 where all codes are used alike. Default 0. */
  diversityWeight?: number
  /** Temperature of that soft assignment, softmax(−‖z − e‖²/τ). Default 1. */
  diversityTemperature?: number
}

type Own = Required<Omit<VectorQuantizerOptions, keyof CodebookOptions>>
export type Resolved = ResolvedCodebook & Own

export function resolve(options: VectorQuantizerOptions): Resolved {
  const name = 'VectorQuantizer'
  expectOptions(name, options, '{ numEmbeddings: 512, embeddingDim: 64 }')
  const codebook = resolveCodebook(name, options)
  const { heads = 1, separateCodebooks = false, commitmentCost = 0.25, commitment = 'mse' } = options
  const { estimator = 'ste', sampleTemperature = 0, orthogonalWeight = 0 } = options
  const { orthogonalActiveOnly = false, orthogonalMaxCodes = 2 ** 31 - 1 } = options
  const { diversityWeight = 0, diversityTemperature = 1 } = options
  expectInteger(name, 'heads', heads, 1, 2 ** 20)
  const { dim = heads * codebook.embeddingDim } = options
  expectInteger(name, 'dim', dim, 1, 2 ** 31 - 1)
  expectNumber(name, 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
  expectOneOf(name, 'commitment', commitment, ['mse', 'cross-entropy'])
  expectOneOf(name, 'estimator', estimator, Object.keys(estimators) as EstimatorName[])
  expectNumber(name, 'sampleTemperature', sampleTemperature, 0, Number.MAX_VALUE)
  expectNumber(name, 'orthogonalWeight', orthogonalWeight, 0, Number.MAX_VALUE)
  expectConfig(
    orthogonalWeight === 0 || codebook.codebookUpdate !== 'ema',
    name,
    "orthogonalWeight only with codebookUpdate 'gradient' or 'learnable', since averages take no gradient",
    orthogonalWeight,
    "Set codebookUpdate to 'gradient', or orthogonalWeight to 0.",
  )
  expectInteger(name, 'orthogonalMaxCodes', orthogonalMaxCodes, 1, 2 ** 31 - 1)
  expectNumber(name, 'diversityWeight', diversityWeight, 0, Number.MAX_VALUE)
  expectNumber(name, 'diversityTemperature', diversityTemperature, 1e-6, Number.MAX_VALUE)
  return {
    ...codebook,
    dim,
    heads,
    separateCodebooks: separateCodebooks && heads > 1,
    commitmentCost,
    commitment,
    estimator,
    sampleTemperature,
    orthogonalWeight,
    orthogonalActiveOnly,
    orthogonalMaxCodes,
    diversityWeight,
    diversityTemperature,
  }
}
