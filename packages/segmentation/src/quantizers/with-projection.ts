// Quantizers between two linear layers, from features to a bottleneck and back, under the names of the published study.
import { expectInteger, type Random } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import { FSQ, fsqLevels, LFQ, ResidualVQ, VectorQuantizer } from '@vq/quantizers'

interface Shared {
  /** Channels of the features. */
  inputDim: number
  /** Draws the first weights and codes. Default: the global generator. */
  random?: Random
}

interface Learned extends Shared {
  /** Default 512. */
  codebookSize?: number
  /** Length of the codes. Default 64. */
  bottleneckDim?: number
  /** Share of the old averages that move the codes. Default 0.99. */
  decay?: number
  /** Default 0.25. */
  commitmentWeight?: number
}

export type VQWithProjectionOptions = Learned

// Without inputDim a quantizer would be one of its own length, without projections.
function expectInput(name: string, options: Shared): void {
  expectOptions(name, options, '{ inputDim: backbone.featureDim }')
  expectInteger(name, 'inputDim', options.inputDim, 1)
}

function learned({ inputDim, codebookSize = 512, bottleneckDim = 64, ...rest }: Learned) {
  const { decay = 0.99, commitmentWeight = 0.25, random } = rest
  return {
    dim: inputDim,
    numEmbeddings: codebookSize,
    embeddingDim: bottleneckDim,
    decay,
    commitmentCost: commitmentWeight,
    initCodebook: 'kmeans' as const,
    ...(random && { random }),
  }
}

/**
 * Features [..., inputDim] → one of `codebookSize` codes of length `bottleneckDim` → features, log2(codebookSize) bits each.
 *
 * @example
 * const quantizer = new VQWithProjection({ inputDim: 768, codebookSize: 512, bottleneckDim: 64 })
 */
export class VQWithProjection extends VectorQuantizer {
  constructor(options: VQWithProjectionOptions) {
    expectInput('VQWithProjection', options)
    super(learned(options))
  }
}

export interface ResidualVQWithProjectionOptions extends Learned {
  /** Default 4. */
  numQuantizers?: number
}

/** The same with `numQuantizers` codes, each for what the ones before leave; `codebookSize` is that of each level. */
export class ResidualVQWithProjection extends ResidualVQ {
  constructor(options: ResidualVQWithProjectionOptions) {
    expectInput('ResidualVQWithProjection', options)
    const { numQuantizers = 4, ...rest } = options
    super({ ...learned(rest), numQuantizers })
  }
}

export interface FSQWithProjectionOptions extends Shared {
  /** Levels of each dimension. Default: those of `fsqLevels` for `codebookSize`. */
  levels?: readonly number[]
  /** About how many codes; `codebookSize` of the result says how many there are. Default 512. */
  codebookSize?: number
}

/**
 * Finite scalar quantization of as many dimensions as there are levels. Two linear layers in a row are one, so there is no
 * bottleneck before these.
 */
export class FSQWithProjection extends FSQ {
  constructor(options: FSQWithProjectionOptions) {
    expectInput('FSQWithProjection', options)
    const { inputDim, codebookSize = 512, levels, random } = options
    super({ levels: levels ?? fsqLevels(codebookSize), dim: inputDim, ...(random && { random }) })
  }
}

export interface LFQWithProjectionOptions extends Shared {
  /** A power of 2. Default 512. */
  codebookSize?: number
  /** Default 0.1. */
  entropyLossWeight?: number
  /** Default 0.1. */
  diversityGamma?: number
  /** Default false. */
  spherical?: boolean
}

/** Lookup-free quantization of log2(codebookSize) signs; as with FSQ there is no bottleneck before these. */
export class LFQWithProjection extends LFQ {
  constructor(options: LFQWithProjectionOptions) {
    expectInput('LFQWithProjection', options)
    const { inputDim, codebookSize = 512, random, ...rest } = options
    const { entropyLossWeight = 0.1, diversityGamma = 0.1, spherical = false } = rest
    super({
      dim: inputDim,
      codebookSize,
      ...{ entropyLossWeight, diversityGamma, spherical },
      ...(random && { random }),
    })
  }
}
