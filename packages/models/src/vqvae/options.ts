import { expectConfig, expectInteger, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import type { VectorQuantizerOptions } from '@vq/quantizers'

/** What the encoder and the decoder around a quantizer take. */
export interface ArchitectureOptions {
  /**
   * 'residual': strided convolutions with ReLU, residual blocks, 1×1 to the latents. 'igpt': strided convolutions with
   * batch normalisation, pre-activation residual blocks at the latents' width. Default 'residual'.
   */
  architecture?: 'residual' | 'igpt'
  /** Channels of the images. Default 3. */
  inChannels?: number
  /** D, the length of a code. Default 64. */
  embeddingDim?: number
  /** K, the number of codes. Default 512. */
  numEmbeddings?: number
  /** Width after each halving of the image; 'igpt' halves once more, into the latents. Default [128, 256]. */
  hiddenDims?: readonly number[]
  /** Residual blocks on each side. Default 2. */
  numResidualLayers?: number
  /** Width inside the residual blocks of 'residual'. Default 32. */
  residualHiddenDim?: number
  /** Draws the initial weights, and revives codes. Default: the global generator. */
  random?: Random
}

export interface VQVAEOptions
  extends ArchitectureOptions,
    Omit<VectorQuantizerOptions, 'numEmbeddings' | 'embeddingDim' | 'random'> {}

export interface Architecture {
  architecture: 'residual' | 'igpt'
  inChannels: number
  embeddingDim: number
  numEmbeddings: number
  hiddenDims: readonly number[]
  numResidualLayers: number
  residualHiddenDim: number
  /** Length of the latents that are quantized: embeddingDim unless the quantizer projects or has several heads. */
  dim: number
}

/** Fills in defaults and checks, for the model `name`. */
export function resolveArchitecture(
  name: string,
  options: ArchitectureOptions & { dim?: number; heads?: number },
): Architecture {
  expectOptions(name, options, '{ numEmbeddings: 512 }, or nothing')
  const { architecture = 'residual', inChannels = 3, embeddingDim = 64, numEmbeddings = 512 } = options
  const { hiddenDims = [128, 256], numResidualLayers = 2, residualHiddenDim = 32, heads = 1 } = options
  expectOneOf(name, 'architecture', architecture, ['residual', 'igpt'])
  expectInteger(name, 'inChannels', inChannels, 1)
  expectInteger(name, 'embeddingDim', embeddingDim, 1)
  expectInteger(name, 'numEmbeddings', numEmbeddings, 1)
  expectInteger(name, 'numResidualLayers', numResidualLayers, 0)
  expectInteger(name, 'residualHiddenDim', residualHiddenDim, 1)
  expectInteger(name, 'heads', heads, 1)
  const { dim = heads * embeddingDim } = options
  expectInteger(name, 'dim', dim, 1)
  return {
    architecture,
    inChannels,
    embeddingDim,
    numEmbeddings,
    hiddenDims: expectWidths(name, 'hiddenDims', hiddenDims),
    numResidualLayers,
    residualHiddenDim,
    dim,
  }
}

/** A copy of a list of 1 to 12 widths, one per halving. */
export function expectWidths(name: string, option: string, widths: readonly number[]): readonly number[] {
  expectConfig(
    Array.isArray(widths) && widths.length > 0 && widths.length <= 12,
    name,
    `${option} to be a list of 1 to 12 widths`,
    widths,
    'Pass one width per halving of the image, such as [128, 256].',
  )
  for (const h of widths) expectInteger(name, `each of ${option}`, h, 1)
  return [...widths]
}
