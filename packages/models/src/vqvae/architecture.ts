import type { Random } from '@vq/core'
import { BatchNorm, Conv2d, ConvTranspose2d, type Layer, ReLU, Sequential } from '@vq/core/nn'
import type { Architecture } from './options.js'
import { PreActivationBlock, ResidualBlock } from './residual-block.js'

export interface Parts {
  /** [B, H, W, C] → [B, H/stride, W/stride, D] */
  encoder: Sequential
  /** The way back. */
  decoder: Sequential
  stride: number
}

export function buildParts(architecture: Architecture, random?: Random): Parts {
  return architecture.architecture === 'igpt'
    ? igptParts(architecture, random)
    : residualParts(architecture, random)
}

const down = { kernelSize: 4, stride: 2, padding: 1 }

/** What a stack of convolutions with residual blocks at its deep end is built of. */
export interface Stack {
  /** Channels at the wide end. */
  inChannels: number
  /** Width after each halving. */
  hiddenDims: readonly number[]
  numResidualLayers: number
  residualHiddenDim: number
}

/** [B, H, W, inChannels] → [B, H/2ⁿ, W/2ⁿ, last of hiddenDims]: strided convolutions with ReLU, then residual blocks. */
export function downwards(s: Stack, random?: Random): Layer[] {
  const generator = random === undefined ? {} : { random }
  const widths = [s.inChannels, ...s.hiddenDims]
  return [
    ...s.hiddenDims.flatMap((h, i) => [
      new Conv2d({ inChannels: widths[i], outChannels: h, ...down, ...generator }),
      new ReLU(),
    ]),
    ...blocks(s, random),
  ]
}

/** The way back: residual blocks, then transposed convolutions with ReLU between them. */
export function upwards(s: Stack, random?: Random): Layer[] {
  const generator = random === undefined ? {} : { random }
  const rising = [s.inChannels, ...s.hiddenDims].toReversed()
  return [
    ...blocks(s, random),
    ...rising.slice(1).flatMap((h, i): Layer[] => {
      const up = new ConvTranspose2d({ inChannels: rising[i], outChannels: h, ...down, ...generator })
      return i === s.hiddenDims.length - 1 ? [up] : [up, new ReLU()]
    }),
  ]
}

function blocks({ hiddenDims, numResidualLayers, residualHiddenDim }: Stack, random?: Random): Layer[] {
  const deepest = hiddenDims[hiddenDims.length - 1]
  return times(numResidualLayers, () => new ResidualBlock(deepest, residualHiddenDim, random))
}

/** A convolution of single places. */
export function pointwise(inChannels: number, outChannels: number, random?: Random): Conv2d {
  return new Conv2d({ inChannels, outChannels, kernelSize: 1, ...(random === undefined ? {} : { random }) })
}

function residualParts(a: Architecture, random?: Random): Parts {
  const deepest = a.hiddenDims[a.hiddenDims.length - 1]
  // No ReLU behind the last one: latents may be negative.
  const encoder = new Sequential(...downwards(a, random), pointwise(deepest, a.dim, random))
  const decoder = new Sequential(pointwise(a.dim, deepest, random), ...upwards(a, random))
  return { encoder, decoder, stride: 2 ** a.hiddenDims.length }
}

function igptParts(a: Architecture, random?: Random): Parts {
  const generator = random === undefined ? {} : { random }
  const { dim: d } = a
  const widths = [a.inChannels, ...a.hiddenDims]
  const deepest = widths[widths.length - 1]
  const blocks = (): Layer[] => times(a.numResidualLayers, () => new PreActivationBlock(d, random))
  const activation = (width: number): Layer[] => [new BatchNorm({ numFeatures: width }), new ReLU()]
  const encoder = new Sequential(
    ...a.hiddenDims.flatMap((h, i): Layer[] => [
      new Conv2d({ inChannels: widths[i], outChannels: h, ...down, ...generator }),
      ...activation(h),
    ]),
    new Conv2d({ inChannels: deepest, outChannels: d, ...down, ...generator }),
    ...blocks(),
  )
  const rising = [d, ...widths.toReversed()]
  const decoder = new Sequential(
    ...blocks(),
    ...rising
      .slice(1)
      .flatMap((h, i): Layer[] => [
        ...activation(rising[i]),
        new ConvTranspose2d({ inChannels: rising[i], outChannels: h, ...down, ...generator }),
      ]),
  )
  return { encoder, decoder, stride: 2 ** (a.hiddenDims.length + 1) }
}

function times<T>(n: number, make: () => T): T[] {
  return Array.from({ length: n }, make)
}
