import { expectConfig, expectInteger, expectOneOf } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import type { QuantizeDropoutOptions } from '../base/quantize-dropout.js'
import { type CodebookOptions, type ResolvedCodebook, resolveCodebook } from '../codebook/options.js'
import { type ResolvedTraining, resolveTraining, type TrainingOptions } from '../codebook/training-options.js'

export interface ImplicitCodebookOptions {
  /** h, the width inside a block. Default 256. */
  hiddenDim?: number
  /** L, the residual blocks of each level's network. Default 2. */
  numBlocks?: number
}

/**
 * The terms of {@link TrainingOptions} are means over the levels, each with the level's residual as its vectors and its codes;
 * a shared codebook has one term, over the residuals of all levels. With `sampleTemperature` a level draws its codes for
 * what the drawn codes before have left, which wants a `trainingBeamSize` of 1.
 */
export interface ResidualVQOptions
  extends Omit<CodebookOptions, 'metric'>,
    TrainingOptions,
    QuantizeDropoutOptions {
  /** Q, the number of codes of a vector. Default 4. */
  numQuantizers?: number
  /** Whether all levels use one codebook. Default false. */
  sharedCodebook?: boolean
  /** Length of the vectors. Where it is not embeddingDim, linear layers lead there and back. Default embeddingDim. */
  dim?: number
  /**
   * What the estimator is put around. 'sum': the vector and the sum of its codes, so that straight through the gradient
   * arrives once (Lee et al., equation 7). 'level': each level's residual and code, as in many implementations; straight
   * through, Q times the gradient arrives. Default 'sum'.
   */
  estimatorScope?: 'sum' | 'level'
  /**
   * Codebooks that networks make for each vector from the codes chosen before (QINCo, Huijben et al. 2024,
   * https://arxiv.org/abs/2401.14732); the codebooks are the first level's codes and the base codes of the others. Everything
   * learns by gradient: `codebookUpdate` is 'gradient' (the default here) or 'learnable'. Encoding costs each vector and
   * level about 2·K·D·h·L multiply-adds. Neither a shared codebook nor a beam search goes with it: the search follows fixed
   * codebooks, and here every path would have its own. Nor does what looks at all codes of a level (`sampleTemperature`,
   * `commitment: 'cross-entropy'`, `diversityWeight`, `orthogonalWeight`): every vector has its own, and all of them are never
   * made at once. Default: fixed codebooks.
   */
  implicitCodebook?: ImplicitCodebookOptions
  /** Paths that encoding keeps at each level; the one with the smallest final error wins. Default 1. */
  beamSize?: number
  /** The same in training. Default 1. */
  trainingBeamSize?: number
}

type Own = Required<
  Omit<ResidualVQOptions, keyof CodebookOptions | keyof TrainingOptions | 'implicitCodebook'>
>
export type Resolved = ResolvedCodebook &
  ResolvedTraining &
  Own & { implicitCodebook: Required<ImplicitCodebookOptions> | undefined }

export function resolve(options: ResidualVQOptions): Resolved {
  const name = 'ResidualVQ'
  expectOptions(name, options, '{ numEmbeddings: 1024, embeddingDim: 64, numQuantizers: 8 }')
  const implicitCodebook = resolveImplicit(name, options)
  const { codebookUpdate = implicitCodebook === undefined ? 'ema' : 'gradient' } = options
  const codebook = resolveCodebook(name, { ...options, codebookUpdate, metric: 'l2' })
  const training = resolveTraining(name, options, codebook)
  const { numQuantizers = 4, sharedCodebook = false } = options
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
  expectOneOf(name, 'estimatorScope', estimatorScope, ['sum', 'level'])
  expectInteger(name, 'beamSize', beamSize, 1, 1 << 20)
  expectInteger(name, 'trainingBeamSize', trainingBeamSize, 1, 1 << 20)
  expectConfig(
    training.sampleTemperature === 0 || trainingBeamSize === 1,
    name,
    'trainingBeamSize to be 1 with sampleTemperature, since a search takes the best codes and draws none',
    trainingBeamSize,
    'Leave one of them out; beamSize, for evaluation, may be any.',
  )
  return {
    ...codebook,
    ...training,
    numQuantizers,
    sharedCodebook,
    dim,
    estimatorScope,
    quantizeDropout,
    quantizeDropoutMin,
    implicitCodebook,
    beamSize,
    trainingBeamSize,
  }
}

function resolveImplicit(
  name: string,
  options: ResidualVQOptions,
): Required<ImplicitCodebookOptions> | undefined {
  const { implicitCodebook, codebookUpdate, sharedCodebook, beamSize = 1, trainingBeamSize = 1 } = options
  if (implicitCodebook === undefined) return undefined
  const refuse = (fine: boolean, expected: string, received: unknown, remedy: string): void =>
    expectConfig(fine, name, `${expected} with implicitCodebook`, received, remedy)
  expectConfig(
    typeof implicitCodebook === 'object' && implicitCodebook !== null,
    name,
    'implicitCodebook to be an object',
    implicitCodebook,
    'Pass { hiddenDim: 256, numBlocks: 2 }, or leave it out.',
  )
  const { hiddenDim = 256, numBlocks = 2 } = implicitCodebook
  expectInteger(name, 'implicitCodebook.hiddenDim', hiddenDim, 1, 2 ** 24)
  expectInteger(name, 'implicitCodebook.numBlocks', numBlocks, 1, 1024)
  refuse(
    codebookUpdate !== 'ema',
    "codebookUpdate to be 'gradient' or 'learnable'",
    codebookUpdate,
    'Leave it out: a network stands between base codes and vectors, so that no average of vectors is a base code.',
  )
  refuse(
    sharedCodebook !== true,
    'sharedCodebook to be false',
    sharedCodebook,
    'Leave it out: each level’s base codes belong to its own network.',
  )
  for (const [option, beam] of Object.entries({ beamSize, trainingBeamSize }))
    refuse(
      beam === 1,
      `${option} to be 1`,
      beam,
      'Leave it out: the search follows codebooks that are the same for every path, and here each path has its own.',
    )
  const { commitment = 'mse', sampleTemperature = 0, diversityWeight = 0, orthogonalWeight = 0 } = options
  const own =
    'Leave it out: it looks at all codes of a level, and here every vector has its own, never all made at once.'
  refuse(commitment !== 'cross-entropy', "commitment to be 'mse'", commitment, own)
  for (const [option, value] of Object.entries({ sampleTemperature, diversityWeight, orthogonalWeight }))
    refuse(value === 0, `${option} to be 0`, value, own)
  return { hiddenDim, numBlocks }
}
