import { expectConfig, expectInteger, expectOneOf, type Random } from '@vq/core'
import type { VectorQuantizerOptions } from '@vq/quantizers'

type QuantizerOptions = Omit<VectorQuantizerOptions, 'numEmbeddings' | 'embeddingDim' | 'random'>

export interface VQVAEOptions extends QuantizerOptions {
  /**
   * 'residual': strided convolutions with ReLU, residual blocks, 1×1 to the latents. 'igpt': strided convolutions with
   * batch normalisation, pre-activation residual blocks at the latents' width. Default 'residual'.
   */
  architecture?: 'residual' | 'igpt'
  /** Channels of the images. Default 3. */
  inChannels?: number
  /** D, the length of a latent vector. Default 64. */
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

export interface Architecture {
  architecture: 'residual' | 'igpt'
  inChannels: number
  embeddingDim: number
  numEmbeddings: number
  hiddenDims: readonly number[]
  numResidualLayers: number
  residualHiddenDim: number
}

/** Fills in defaults and checks. */
export function resolveArchitecture(options: VQVAEOptions): Architecture {
  const { architecture = 'residual', inChannels = 3, embeddingDim = 64, numEmbeddings = 512 } = options
  const { hiddenDims = [128, 256], numResidualLayers = 2, residualHiddenDim = 32 } = options
  expectOneOf('VQVAE', 'architecture', architecture, ['residual', 'igpt'])
  expectInteger('VQVAE', 'inChannels', inChannels, 1)
  expectInteger('VQVAE', 'embeddingDim', embeddingDim, 1)
  expectInteger('VQVAE', 'numEmbeddings', numEmbeddings, 1)
  expectInteger('VQVAE', 'numResidualLayers', numResidualLayers, 0)
  expectInteger('VQVAE', 'residualHiddenDim', residualHiddenDim, 1)
  expectConfig(
    Array.isArray(hiddenDims) && hiddenDims.length > 0 && hiddenDims.length <= 12,
    'VQVAE',
    'hiddenDims to be a list of 1 to 12 widths',
    hiddenDims,
    'Pass one width per halving of the image, such as [128, 256].',
  )
  for (const h of hiddenDims) expectInteger('VQVAE', 'each of hiddenDims', h, 1)
  return {
    architecture,
    inChannels,
    embeddingDim,
    numEmbeddings,
    hiddenDims: [...hiddenDims],
    numResidualLayers,
    residualHiddenDim,
  }
}
