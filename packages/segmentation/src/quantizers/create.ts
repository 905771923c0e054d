import { expectConfig, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import { BaseQuantizer, ResidualVQ } from '@vq/quantizers'
import {
  FSQWithProjection,
  LFQWithProjection,
  ResidualVQWithProjection,
  VQWithProjection,
} from './with-projection.js'

export const quantizerTypes = ['vq', 'fsq', 'lfq', 'rvq', 'none'] as const
export type QuantizerType = (typeof quantizerTypes)[number]

/** What the commands take; each quantizer reads what concerns it. */
export interface QuantizerSettings {
  type: QuantizerType
  codebookSize?: number
  bottleneckDim?: number
  numQuantizers?: number
  levels?: readonly number[]
  decay?: number
  commitmentWeight?: number
  entropyLossWeight?: number
  diversityGamma?: number
  spherical?: boolean
}

/** The quantizer of features of `inputDim` channels; undefined for 'none'. Throws VqConfigError. */
export function createQuantizer(
  settings: QuantizerSettings,
  inputDim: number,
  random?: Random,
): BaseQuantizer | undefined {
  expectOptions('createQuantizer', settings, "{ type: 'vq' }")
  const { type, codebookSize, bottleneckDim, numQuantizers, levels } = settings
  const { decay, commitmentWeight, entropyLossWeight, diversityGamma, spherical } = settings
  expectOneOf('createQuantizer', 'quantizer type', type, quantizerTypes)
  expectConfig(
    levels === undefined || type === 'fsq',
    'createQuantizer',
    "levels with the quantizer 'fsq' alone",
    `levels with '${type}'`,
    'Leave levels out, or choose fsq.',
  )
  const shared = given({ inputDim, codebookSize, random })
  if (type === 'fsq') return new FSQWithProjection({ ...shared, ...given({ levels }) })
  if (type === 'lfq')
    return new LFQWithProjection({ ...shared, ...given({ entropyLossWeight, diversityGamma, spherical }) })
  const codes = { ...shared, ...given({ bottleneckDim, decay, commitmentWeight }) }
  if (type === 'vq') return new VQWithProjection(codes)
  if (type === 'rvq') return new ResidualVQWithProjection({ ...codes, ...given({ numQuantizers }) })
  return undefined
}

type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** Without what is undefined. */
function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as Given<T>
}

/** Throws VqConfigError unless it is a quantizer. */
export function expectQuantizer(operation: string, quantizer: unknown): asserts quantizer is BaseQuantizer {
  const is = quantizer instanceof BaseQuantizer
  expectConfig(is, operation, 'a quantizer', quantizer, "Pass createQuantizer({ type: 'vq' }, featureDim).")
}

/** Codes of a vector: 1, or as many as there are levels behind one another. */
export function codesPerVector(quantizer: BaseQuantizer): number {
  expectQuantizer('codesPerVector', quantizer)
  return quantizer instanceof ResidualVQ ? quantizer.options.numQuantizers : 1
}
