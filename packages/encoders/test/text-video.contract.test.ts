import { Random, tf } from '@vq/core'
import { decoderContract, encoderContract, moduleContract } from '@vq/core/testing'
import {
  type BaseEncoder,
  ClipTextEncoder,
  createEncoder,
  TextDecoder,
  TimeSformerEncoder,
  VideoDecoder,
  VideoMAEEncoder,
} from '@vq/encoders'
import { describe } from 'vitest'
import { runChecks } from '../../../test/contract/run.js'

const random = (): Random => new Random(3)
const small = { vocabSize: 10, hiddenDim: 8, numLayers: 2, numHeads: 2, mlpDim: 12, maxLength: 9, dropout: 0 }
const lstm = { type: 'lstm', vocabSize: 10, embeddingDim: 6, hiddenDim: 5, dropout: 0 } as const
const frames = { inputDim: [8, 8, 8, 2], hiddenDim: 8, numHeads: 2, patchSize: 4 }

const texts: Record<string, () => BaseEncoder> = {
  'LSTM, attention': () => createEncoder({ ...lstm, random: random() }),
  'LSTM, mean, one direction': () =>
    createEncoder({ ...lstm, pooling: 'mean', bidirectional: false, numLayers: 1, random: random() }),
  'LSTM, last': () => createEncoder({ ...lstm, pooling: 'last', random: random() }),
  'Transformer, learned positions': () =>
    createEncoder({ type: 'transformer', ...small, embeddingDim: 6, random: random() }),
  'Transformer, sinusoidal, normalised before': () =>
    createEncoder({
      ...{ type: 'transformer', ...small, positions: 'sinusoidal', preNorm: true, pooling: 'max' },
      ...{ activation: 'gelu', random: random() },
    }),
  BERT: () => createEncoder({ type: 'bert', ...small, deviation: 0.5, random: random() }),
  'BERT, mean, normalised': () =>
    createEncoder({
      ...{ type: 'bert', ...small, deviation: 0.5, pooling: 'mean', normalize: true, random: random() },
    }),
  "CLIP's text tower": () =>
    new ClipTextEncoder({
      ...{ ...small, vocabSize: 20, deviation: 0.5, eosTokenId: 19, embeddingDim: 5, random: random() },
      ...{ pooling: 'last' },
    }),
}
for (const [name, make] of Object.entries(texts))
  describe(name, () => runChecks(encoderContract({ make, sampleShape: [8], takesMask: true })))

const videos: Record<string, [make: () => BaseEncoder, sampleShape: number[], takesMask: boolean]> = {
  '3D CNN': [
    () => createEncoder({ type: 'cnn3d', inputDim: [8, 8, 8, 2], embeddingDim: 5, hiddenDims: [3, 4], random: random() }), // biome-ignore format: one line
    [6, 8, 8, 2],
    false,
  ],
  'Video Transformer, frames': [
    () =>
      createEncoder({
        ...{ type: 'video_transformer', ...frames, embeddingDim: 6, numLayers: 1, temporalLayers: 1 },
        ...{ dropout: 0, random: random() },
      }),
    [6, 8, 8, 2],
    true,
  ],
  'Video Transformer, tubelets': [
    () =>
      createEncoder({
        ...{ type: 'video_transformer', ...frames, embeddingDim: 8, numLayers: 1, temporalLayers: 1 },
        ...{ tubeletSize: 2, dropout: 0, random: random() },
      }),
    [8, 8, 8, 2],
    true,
  ],
  VideoMAE: [
    () => new VideoMAEEncoder({ ...frames, numLayers: 1, poolNorm: true, epsilon: 1e-6, random: random() }),
    [8, 8, 8, 2],
    false,
  ],
  'TimeSformer, divided': [
    () => new TimeSformerEncoder({ ...frames, numLayers: 2, random: random() }),
    [8, 8, 8, 2],
    false,
  ],
}
for (const [name, [make, sampleShape, takesMask]] of Object.entries(videos))
  describe(name, () => runChecks(encoderContract({ make, sampleShape, takesMask })))

// Of few numbers: with some seeds a step of the differences crosses a kink of ReLU.
describe('video decoder', () =>
  runChecks(
    decoderContract({
      make: () =>
        new VideoDecoder({
          embeddingDim: 6,
          outputDim: [6, 8, 8, 2],
          hiddenDims: [5, 4],
          random: new Random(6),
        }),
    }),
  ))

const textDecoder = (): TextDecoder =>
  new TextDecoder({ ...small, embeddingDim: 6, startId: 1, endId: 2, random: random() })
describe('text decoder', () =>
  runChecks(
    moduleContract({
      make: textDecoder,
      run: decoder =>
        decoder.logits(
          tf.tensor2d(random().fillNormal(new Float32Array(12)), [2, 6]),
          tf.tensor2d([[3, 4, 2], [5, 6, 7]], [2, 3], 'int32'), // biome-ignore format: rows
        ),
    }),
  ))
