import type { Random } from '@vq/core'
import {
  BatchNorm,
  Conv2d,
  ConvTranspose2d,
  Flatten,
  type Layer,
  Linear,
  ReLU,
  Sequential,
  Unflatten,
} from '@vq/core/nn'
import type { LatentArchitecture } from './options.js'

const halving = { kernelSize: 4, stride: 2, padding: 1 }

/** [h, w, C] of the feature map between convolutions and linear layers. */
export function mapOf({ hiddenDims, inputSize }: LatentArchitecture): [number, number, number] {
  const stride = 2 ** hiddenDims.length
  return [inputSize[0] / stride, inputSize[1] / stride, hiddenDims[hiddenDims.length - 1]]
}

/** [B, H, W, C] → [B, h·w·c]: per width a convolution that halves, normalisation and ReLU. */
export function encoderLayers(a: LatentArchitecture, random?: Random): Layer[] {
  const generator = random === undefined ? {} : { random }
  const widths = [a.inChannels, ...a.hiddenDims]
  return [
    ...a.hiddenDims.flatMap((h, i): Layer[] => [
      new Conv2d({ inChannels: widths[i], outChannels: h, ...halving, ...generator }),
      ...activation(a, h),
    ]),
    new Flatten(),
  ]
}

/** What `encoderLayers` gives → latentDim numbers. */
export function head(a: LatentArchitecture, random?: Random): Linear {
  const map = mapOf(a)
  return new Linear({
    inFeatures: map[0] * map[1] * map[2],
    outFeatures: a.latentDim,
    flattenedFrom: map,
    ...(random === undefined ? {} : { random }),
  })
}

/** [B, latentDim] → [B, H, W, C], the encoder mirrored; what bounds the values comes after it. */
export function decoderStack(a: LatentArchitecture, random?: Random): Sequential {
  const generator = random === undefined ? {} : { random }
  const map = mapOf(a)
  const rising = [a.inChannels, ...a.hiddenDims].toReversed()
  return new Sequential(
    new Linear({
      inFeatures: a.latentDim,
      outFeatures: map[0] * map[1] * map[2],
      unflattenedTo: map,
      ...generator,
    }),
    new ReLU(),
    new Unflatten({ shape: map }),
    ...rising.slice(1).flatMap((h, i): Layer[] => {
      const up = new ConvTranspose2d({ inChannels: rising[i], outChannels: h, ...halving, ...generator })
      return i === a.hiddenDims.length - 1 ? [up] : [up, ...activation(a, h)]
    }),
  )
}

function activation({ normalization }: LatentArchitecture, numFeatures: number): Layer[] {
  return normalization === 'batch' ? [new BatchNorm({ numFeatures }), new ReLU()] : [new ReLU()]
}
