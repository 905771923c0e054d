import { expectConfig, expectInteger, expectNumber, expectOneOf } from '@vq/core'
import { type EstimatorName, estimators } from '../estimators/index.js'
import type { ResolvedCodebook } from './options.js'

/** How vectors choose the codes of learned codebooks in training, and what draws them together. */
export interface TrainingOptions {
  /** β, the weight of the commitment loss. Default 0.25. */
  commitmentCost?: number
  /**
   * 'mse': mean((z − sg(q))²). 'cross-entropy': of the softmax over −‖z − e‖², or cos(z, e), with the code chosen. Default
   * 'mse'.
   */
  commitment?: 'mse' | 'cross-entropy'
  /** How the gradient passes the quantizer. Default 'ste'. */
  estimator?: EstimatorName
  /**
   * Temperature τ with which codes are drawn from softmax(−‖z − e‖²/τ) in training (Lee et al. 2022,
   * https://arxiv.org/abs/2203.01941, section 3.3); 0 takes the nearest. Default 0.
   */
  sampleTemperature?: number
  /**
   * Weight of ‖ÊÊᵀ − I‖²/K², which keeps codes apart (Shin et al. 2021, https://arxiv.org/abs/2112.00384, equation 5). Needs
   * `codebookUpdate` 'gradient' or 'learnable': 'ema', the default, is refused. Default 0.
   */
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

export type ResolvedTraining = Required<TrainingOptions>

/** Checks and fills in how quantizer `name` trains a codebook that moves by `codebookUpdate`. */
export function resolveTraining(
  name: string,
  options: TrainingOptions,
  { codebookUpdate }: Pick<ResolvedCodebook, 'codebookUpdate'>,
): ResolvedTraining {
  const { commitmentCost = 0.25, commitment = 'mse', estimator = 'ste', sampleTemperature = 0 } = options
  const { orthogonalWeight = 0, orthogonalActiveOnly = false, orthogonalMaxCodes = 2 ** 31 - 1 } = options
  const { diversityWeight = 0, diversityTemperature = 1 } = options
  expectNumber(name, 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
  expectOneOf(name, 'commitment', commitment, ['mse', 'cross-entropy'])
  expectOneOf(name, 'estimator', estimator, Object.keys(estimators) as EstimatorName[])
  expectNumber(name, 'sampleTemperature', sampleTemperature, 0, Number.MAX_VALUE)
  expectNumber(name, 'orthogonalWeight', orthogonalWeight, 0, Number.MAX_VALUE)
  expectConfig(
    orthogonalWeight === 0 || codebookUpdate !== 'ema',
    name,
    "orthogonalWeight only with codebookUpdate 'gradient' or 'learnable', since averages take no gradient",
    orthogonalWeight,
    "Set codebookUpdate to 'gradient', or orthogonalWeight to 0.",
  )
  expectInteger(name, 'orthogonalMaxCodes', orthogonalMaxCodes, 1, 2 ** 31 - 1)
  expectNumber(name, 'diversityWeight', diversityWeight, 0, Number.MAX_VALUE)
  expectNumber(name, 'diversityTemperature', diversityTemperature, 1e-6, Number.MAX_VALUE)
  return {
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

/** Whether a loss looks at every code of a codebook, not only at those chosen. */
export function looksAtAllCodes({
  commitment,
  diversityWeight,
  orthogonalWeight,
}: ResolvedTraining): boolean {
  return commitment === 'cross-entropy' || diversityWeight > 0 || orthogonalWeight > 0
}

/** Whether a training step draws random numbers to choose codes or for a loss. */
export function drawsInTraining(options: ResolvedTraining, numEmbeddings: number): boolean {
  const { sampleTemperature, orthogonalWeight, orthogonalMaxCodes } = options
  return sampleTemperature > 0 || (orthogonalWeight > 0 && orthogonalMaxCodes < numEmbeddings)
}
