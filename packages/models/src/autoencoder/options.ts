import { expectConfig, expectInteger, expectOneOf, type Random } from '@vq/core'
import { expectOptions } from '@vq/core/nn'
import { expectWidths } from '../vqvae/options.js'

export interface AutoEncoderOptions {
  /** Channels of the images. Default 3. */
  inChannels?: number
  /** Length of a latent vector. Default 128. */
  latentDim?: number
  /** Width after each halving of the image. Default [32, 64, 128, 256]. */
  hiddenDims?: readonly number[]
  /** Height and width of the images, or one number for both; divisible by 2 to the number of halvings. Default 32. */
  inputSize?: number | readonly [number, number]
  /** Batch normalisation between convolutions and activations, or none. Default 'batch'. */
  normalization?: 'batch' | 'none'
  /** What bounds the images that come out: to 0 … 1, to −1 … 1, or not at all. Default 'sigmoid'. */
  outputActivation?: 'sigmoid' | 'tanh' | 'linear'
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

export interface LatentArchitecture {
  inChannels: number
  latentDim: number
  hiddenDims: readonly number[]
  inputSize: readonly [number, number]
  normalization: 'batch' | 'none'
  outputActivation: 'sigmoid' | 'tanh' | 'linear'
}

/** Fills in defaults and checks, for the model `name`. */
export function resolveLatentArchitecture(name: string, options: AutoEncoderOptions): LatentArchitecture {
  expectOptions(name, options, '{ latentDim: 64 }, or nothing')
  const { inChannels = 3, latentDim = 128, hiddenDims = [32, 64, 128, 256], inputSize = 32 } = options
  const { normalization = 'batch', outputActivation = 'sigmoid' } = options
  expectInteger(name, 'inChannels', inChannels, 1)
  expectInteger(name, 'latentDim', latentDim, 1)
  expectOneOf(name, 'normalization', normalization, ['batch', 'none'])
  expectOneOf(name, 'outputActivation', outputActivation, ['sigmoid', 'tanh', 'linear'])
  const widths = expectWidths(name, 'hiddenDims', hiddenDims)
  return {
    inChannels,
    latentDim,
    hiddenDims: widths,
    inputSize: expectSize(name, inputSize, 2 ** widths.length),
    normalization,
    outputActivation,
  }
}

function expectSize(name: string, size: number | readonly number[], stride: number): [number, number] {
  const [h, w, ...more] = typeof size === 'number' ? [size, size] : Array.isArray(size) ? size : []
  const fits = (n: unknown): n is number => Number.isInteger(n) && (n as number) > 0
  expectConfig(
    fits(h) && fits(w) && more.length === 0 && h % stride === 0 && w % stride === 0,
    name,
    `inputSize to be a number or [height, width], divisible by ${stride} (2 to the number of hiddenDims)`,
    Array.isArray(size) ? JSON.stringify(size) : size,
    'Resize the images, or pass fewer hiddenDims.',
  )
  return [h, w]
}
