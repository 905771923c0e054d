import { expectInteger } from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { type CodebookOptions, type ResolvedCodebook, resolveCodebook } from '../codebook/options.js'
import { type ResolvedTraining, resolveTraining, type TrainingOptions } from '../codebook/training-options.js'

export interface VectorQuantizerOptions extends CodebookOptions, TrainingOptions {
  /**
   * Length of the vectors. Where it is not heads·embeddingDim, linear layers lead there and back (Yu et al. 2021,
   * https://arxiv.org/abs/2110.04627, section 3.2). Default heads·embeddingDim.
   */
  dim?: number
  /** Parts of a vector that get a code each; indices then are [..., heads]. Default 1. */
  heads?: number
  /** Whether each head has its own codes. Default false: all share one codebook. */
  separateCodebooks?: boolean
}

type Own = Required<Omit<VectorQuantizerOptions, keyof CodebookOptions | keyof TrainingOptions>>
export type Resolved = ResolvedCodebook & ResolvedTraining & Own

export function resolve(options: VectorQuantizerOptions): Resolved {
  const name = 'VectorQuantizer'
  expectOptions(name, options, '{ numEmbeddings: 512, embeddingDim: 64 }')
  const codebook = resolveCodebook(name, options)
  const { heads = 1, separateCodebooks = false } = options
  expectInteger(name, 'heads', heads, 1, 2 ** 20)
  const { dim = heads * codebook.embeddingDim } = options
  expectInteger(name, 'dim', dim, 1, 2 ** 31 - 1)
  return {
    ...codebook,
    ...resolveTraining(name, options, codebook),
    dim,
    heads,
    separateCodebooks: separateCodebooks && heads > 1,
  }
}
