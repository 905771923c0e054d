import { expectConfig, expectInteger, expectNumber, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '../base/options.js'
import { type ActivationName, activationNames } from '../transformer/index.js'

export interface VisionTransformerOptions {
  /** [H, W, C] of the images that positions are learned for; others are taken as well. */
  inputDim: readonly number[]
  /** Default: hiddenDim; where it differs, a linear layer leads there. Default of both: 256. */
  embeddingDim?: number
  /** Edge of a patch in pixels, or [height, width]. Default 16. */
  patchSize?: number | readonly [number, number]
  /** Width of the tokens, a multiple of numHeads. Default: embeddingDim. */
  hiddenDim?: number
  /** Default 6. */
  numLayers?: number
  /** Default 8. */
  numHeads?: number
  /** Width inside the feed-forward part over hiddenDim. Default 4. */
  mlpRatio?: number
  /** That width itself. Default: mlpRatio · hiddenDim, rounded down. */
  mlpDim?: number
  /** Share of elements set to 0 in training: of the tokens and of what each part of a layer adds. Default 0.1. */
  dropout?: number
  /** Of attention weights. Default: dropout. */
  attentionDropout?: number
  /** Inside the feed-forward part. Default: dropout. */
  mlpDropout?: number
  /** The embedding is the class token or the mean over the patches. Default 'cls'. */
  pooling?: 'cls' | 'mean'
  /** Default 'gelu'. */
  activation?: ActivationName
  /** Added to variances. Default 1e-5. */
  epsilon?: number
  /** Whether queries, keys and values have biases. Default true. */
  qkvBias?: boolean
  /** Whether the patches' projection has a bias. Default true. */
  patchBias?: boolean
  /** Whether tokens are normalised before the first layer. Default false. */
  preNorm?: boolean
  /** Whether the last normalisation is of the whole sequence, or of what is pooled alone. Default 'sequence'. */
  finalNorm?: 'sequence' | 'pooled'
  /** Start of layer scale; none where it is left out. */
  layerScale?: number
  /** Whether the feed-forward part is SwiGLU, mlpDim being the width of its halves. Default false. */
  swiglu?: boolean
  /** Tokens between class token and patches that have no position and take part in nothing but attention. Default 0. */
  numRegisters?: number
  /** Whether positions that are interpolated for other image sizes are also smoothed. Default false. */
  antialiasPositions?: boolean
  /** Whether a linear layer leads to the embedding although the widths agree. */
  head?: boolean
  /** Whether that layer has a bias. Default true. */
  headBias?: boolean
  /** Of that layer. Default 'linear'. */
  headActivation?: ActivationName
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

type Chosen = 'random' | 'layerScale'

/** With defaults, checked. */
export type CheckedOptions = Required<Omit<VisionTransformerOptions, Chosen | 'patchSize' | 'inputDim'>> &
  Pick<VisionTransformerOptions, Chosen> & {
    patchSize: readonly [number, number]
    inputDim: readonly [number, number, number]
    /** Patches along height and width. */
    grid: readonly [number, number]
  }

export function checkedOptions(name: string, options: VisionTransformerOptions): CheckedOptions {
  expectOptions(name, options, 'inputDim')
  const { dropout = 0.1, hiddenDim = options.embeddingDim ?? 256, embeddingDim = hiddenDim } = options
  const { patchSize: patch = 16, mlpRatio = 4, numRegisters = 0, numLayers = 6, numHeads = 8 } = options
  const inputDim = imageDim(name, options.inputDim)
  const sized = typeof patch === 'number' || Array.isArray(patch)
  expectConfig(sized, name, 'patchSize: a number or [height, width]', patch, 'Pass 16.')
  const patchSize = (typeof patch === 'number' ? [patch, patch] : [...patch]) as [number, number]
  for (const size of patchSize) expectInteger(name, 'patchSize', size, 1)
  const grid = patchSize.map((p, i) => Math.floor(inputDim[i]! / p)) as [number, number]
  expectConfig(
    patchSize.length === 2 && grid[0] > 0 && grid[1] > 0,
    name,
    `patchSize of at most the image's ${inputDim[0]} × ${inputDim[1]} pixels`,
    patch,
    'Use smaller patches.',
  )
  expectInteger(name, 'hiddenDim', hiddenDim, 1)
  expectInteger(name, 'embeddingDim', embeddingDim, 1)
  expectInteger(name, 'numLayers', numLayers, 0, 1000)
  expectInteger(name, 'numHeads', numHeads, 1)
  expectNumber(name, 'mlpRatio', mlpRatio, 1e-3, 1e3)
  expectInteger(name, 'numRegisters', numRegisters, 0, 10_000)
  expectNumber(name, 'dropout', dropout, 0, 1 - 2 ** -24)
  const { pooling = 'cls', finalNorm = 'sequence', activation = 'gelu', headActivation = 'linear' } = options
  expectOneOf(name, 'pooling', pooling, ['cls', 'mean'])
  expectOneOf(name, 'finalNorm', finalNorm, ['sequence', 'pooled'])
  expectOneOf(name, 'activation', activation, activationNames)
  expectOneOf(name, 'headActivation', headActivation, activationNames)
  return {
    ...{ qkvBias: true, patchBias: true, preNorm: false, swiglu: false, antialiasPositions: false },
    ...{ headBias: true, epsilon: 1e-5, attentionDropout: dropout, mlpDropout: dropout },
    mlpDim: Math.floor(mlpRatio * hiddenDim),
    head: embeddingDim !== hiddenDim,
    ...defined(options),
    ...{ pooling, finalNorm, activation, headActivation, mlpRatio, numRegisters, numLayers, numHeads },
    ...{ dropout, hiddenDim, embeddingDim, inputDim, patchSize, grid },
  }
}

function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

/** [H, W, C] of images. */
export function imageDim(name: string, dim: unknown): [number, number, number] {
  const fits = Array.isArray(dim) && dim.length === 3 && dim.every(n => Number.isInteger(n) && n >= 1)
  expectConfig(fits, name, 'inputDim [H, W, C]', dim, 'Pass for example [224, 224, 3]: channels last.')
  return [...(dim as [number, number, number])]
}
