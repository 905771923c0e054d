import { Random } from '@vq/core'
import { decoderContract, encoderContract } from '@vq/core/testing'
import {
  type BaseDecoder,
  type BaseEncoder,
  createEncoder,
  ImageDecoder,
  LearnedLinearDecoder,
  mirrorDecoder,
} from '@vq/encoders'
import { describe } from 'vitest'
import { runChecks } from '../../../test/contract/run.js'

const random = (): Random => new Random(3)
const inputDim = [16, 16, 3]

const encoders: Record<string, [make: () => BaseEncoder, sampleShape: number[]]> = {
  CNN: [
    () =>
      createEncoder({
        type: 'cnn',
        inputDim,
        embeddingDim: 5,
        hiddenDims: [4, 6],
        useResidual: true,
        random: random(),
      }),
    [8, 12, 3],
  ],
  'ResNet, basic blocks': [
    () =>
      createEncoder({
        ...{ type: 'resnet', inputDim, embeddingDim: 5, block: 'basic', depths: [1, 1], widths: [4, 6] },
        ...{ stemWidth: 4, random: random() },
      }),
    [16, 12, 3],
  ],
  'ResNet, bottlenecks, dilated': [
    () =>
      createEncoder({
        ...{ type: 'resnet', inputDim, block: 'bottleneck', depths: [1, 2], widths: [8, 8] },
        ...{ stemWidth: 4, replaceStrideWithDilation: [true], activation: 'silu', random: random() },
      }),
    [16, 12, 3],
  ],
  'ViT, class token': [
    () =>
      createEncoder({
        ...{ type: 'vit', inputDim, embeddingDim: 6, hiddenDim: 8, patchSize: 8, numLayers: 2, numHeads: 2 },
        ...{ dropout: 0, random: random() },
      }),
    [16, 16, 3],
  ],
  'ViT, mean, SwiGLU, registers, layer scale, other size': [
    () =>
      createEncoder({
        ...{ type: 'vit', inputDim, embeddingDim: 8, patchSize: 8, numLayers: 1, numHeads: 2, dropout: 0 },
        ...{ pooling: 'mean', swiglu: true, numRegisters: 2, layerScale: 0.5, random: random() },
      }),
    [24, 16, 3],
  ],
  linear: [
    () => createEncoder({ type: 'linear', inputDim: [4, 4, 2], embeddingDim: 5, random: random() }),
    [4, 4, 2],
  ],
}

for (const [name, [make, sampleShape]] of Object.entries(encoders))
  describe(name, () => runChecks(encoderContract({ make, sampleShape })))

/** The decoder alone is under test: the encoder goes. */
function mirrorOf(name: string, outputDim: number[]): BaseDecoder {
  const encoder = encoders[name]![0]()
  const decoder = mirrorDecoder(encoder, { outputDim, random: random() })
  encoder.dispose()
  return decoder
}

const decoders: Record<string, () => BaseDecoder> = {
  'image decoder': () =>
    new ImageDecoder({
      ...{
        embeddingDim: 6,
        outputDim: [8, 12, 3],
        hiddenDims: [6, 4],
        outputActivation: 'tanh',
        random: random(),
      },
    }),
  'image decoder, factors': () =>
    new ImageDecoder({
      embeddingDim: 6,
      outputDim: [6, 9, 1],
      hiddenDims: [4],
      factors: [3],
      random: random(),
    }),
  'mirror of a CNN': () => mirrorOf('CNN', [8, 4, 3]),
  'mirror of a ViT': () => mirrorOf('ViT, class token', [16, 8, 3]),
  linear: () => new LearnedLinearDecoder({ inputDim: [4, 4, 2], embeddingDim: 5, random: random() }),
}

for (const [name, make] of Object.entries(decoders))
  describe(name, () => runChecks(decoderContract({ make })))
