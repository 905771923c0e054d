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

function residualParts(a: Architecture, random?: Random): Parts {
  const generator = random === undefined ? {} : { random }
  const widths = [a.inChannels, ...a.hiddenDims]
  const deepest = widths[widths.length - 1]
  const blocks = (): Layer[] =>
    times(a.numResidualLayers, () => new ResidualBlock(deepest, a.residualHiddenDim, random))
  const encoder = new Sequential(
    ...a.hiddenDims.flatMap((h, i) => [
      new Conv2d({ inChannels: widths[i], outChannels: h, ...down, ...generator }),
      new ReLU(),
    ]),
    ...blocks(),
    // No ReLU after it: latents may be negative.
    new Conv2d({ inChannels: deepest, outChannels: a.embeddingDim, kernelSize: 1, ...generator }),
  )
  const rising = widths.toReversed()
  const decoder = new Sequential(
    new Conv2d({ inChannels: a.embeddingDim, outChannels: deepest, kernelSize: 1, ...generator }),
    ...blocks(),
    ...rising.slice(1).flatMap((h, i): Layer[] => {
      const up = new ConvTranspose2d({ inChannels: rising[i], outChannels: h, ...down, ...generator })
      return i === a.hiddenDims.length - 1 ? [up] : [up, new ReLU()]
    }),
  )
  return { encoder, decoder, stride: 2 ** a.hiddenDims.length }
}

function igptParts(a: Architecture, random?: Random): Parts {
  const generator = random === undefined ? {} : { random }
  const { embeddingDim: d } = a
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
