import { expectConfig, expectInteger, expectNumber } from '@vq/core'
import type { LatticeOptions } from '../lattice/lattice-quantizer.js'

export interface LFQOptions extends LatticeOptions {
  /** 2^bits, the number of codes. Default: 2^(dim / numCodebooks). */
  codebookSize?: number
  /** What a bit stands for: ±codebookScale, ±codebookScale/√bits where spherical. Default 1. */
  codebookScale?: number
  /** Binary spherical quantization: vectors are divided by their norms first. Default false. */
  spherical?: boolean
  /** Weight of the entropy terms together. Default 0.1. */
  entropyLossWeight?: number
  /** γ, the weight of the entropy of the codes' mean distribution within them. Default 1. */
  diversityGamma?: number
  /** β, the weight of ‖z − sg(q)‖², a mean over all elements. Default 0.25. */
  commitmentCost?: number
  /** t: the distribution over the codes is softmax(2t·z·c). Default 100. */
  inverseTemperature?: number
  /** Share of the batch's vectors, drawn at random in training, that the entropy terms look at, in (0, 1]. Default 1. */
  entropySampleFraction?: number
  /**
   * Bits whose joint distribution over the batch counts in the diversity term, up to 26; groups of so many bits are taken as
   * independent of each other. With all of them, which is the default up to 20 bits, the term is exact; it takes memory and
   * time of 2^bits. Default for more bits: 10.
   */
  diversityGroup?: number
}

export interface LFQSettings {
  readonly bits: number
  /** Of the values, 1/√bits where spherical. */
  readonly scale: number
  readonly spherical: boolean
  readonly entropyLossWeight: number
  readonly diversityGamma: number
  readonly commitmentCost: number
  readonly inverseTemperature: number
  readonly entropySampleFraction: number
  readonly diversityGroup: number
}

export function settingsOf(operation: string, options: LFQOptions): LFQSettings {
  const { numCodebooks = 1, spherical = false, codebookScale = 1, entropyLossWeight = 0.1 } = options
  const { diversityGamma = 1, commitmentCost = 0.25, inverseTemperature = 100 } = options
  const { entropySampleFraction = 1 } = options
  const bits = bitsOf(operation, options, numCodebooks)
  const { diversityGroup = bits <= 20 ? bits : 10 } = options
  const most = Number.MAX_VALUE
  expectNumber(operation, 'codebookScale', codebookScale, 1e-30, 1e30)
  expectNumber(operation, 'entropyLossWeight', entropyLossWeight, 0, most)
  expectNumber(operation, 'diversityGamma', diversityGamma, 0, most)
  expectNumber(operation, 'commitmentCost', commitmentCost, 0, most)
  expectNumber(operation, 'inverseTemperature', inverseTemperature, 1e-6, 1e6)
  expectNumber(operation, 'entropySampleFraction', entropySampleFraction, 1e-6, 1)
  expectInteger(operation, 'diversityGroup', diversityGroup, 1, 26)
  return {
    bits,
    scale: spherical ? codebookScale / Math.sqrt(bits) : codebookScale,
    spherical,
    entropyLossWeight,
    diversityGamma,
    commitmentCost,
    inverseTemperature,
    entropySampleFraction,
    diversityGroup: Math.min(bits, diversityGroup),
  }
}

function bitsOf(operation: string, { codebookSize, dim }: LFQOptions, numCodebooks: number): number {
  expectInteger(operation, 'numCodebooks', numCodebooks, 1)
  expectConfig(
    codebookSize !== undefined || dim !== undefined,
    operation,
    'codebookSize or dim',
    undefined,
    'Pass { codebookSize: 1024 }, or the dim of the vectors, one bit of a code each.',
  )
  if (codebookSize !== undefined) {
    expectInteger(operation, 'codebookSize', codebookSize, 2)
    const bits = Math.round(Math.log2(codebookSize))
    expectConfig(
      2 ** bits === codebookSize,
      operation,
      'codebookSize to be a power of 2',
      codebookSize,
      `Pass ${2 ** bits}.`,
    )
    expectFits(operation, bits)
    return bits
  }
  expectInteger(operation, 'dim', dim, 1)
  expectConfig(
    dim % numCodebooks === 0,
    operation,
    'dim to be a multiple of numCodebooks',
    dim,
    'Pass codebookSize as well: linear layers then lead from dim to its bits.',
  )
  expectFits(operation, dim / numCodebooks)
  return dim / numCodebooks
}

function expectFits(operation: string, bits: number): void {
  expectConfig(
    bits <= 31,
    operation,
    'at most 31 bits to a code, since codes are int32',
    bits,
    'Split the bits into several codes per vector: numCodebooks.',
  )
}
