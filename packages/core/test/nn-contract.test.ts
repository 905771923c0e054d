import { Random, tf } from '@vq/core'
import * as nn from '@vq/core/nn'
import { moduleContract } from '@vq/core/testing'
import { onEachBackend } from '../../../test/contract/run.js'

const sample = (shape: number[], seed = 1): tf.Tensor =>
  tf.tensor(new Random(seed).fillNormal(new Float32Array(shape.reduce((a, b) => a * b))), shape)
const random = (): { random: Random } => ({ random: new Random(2) })
const conv = { inChannels: 4, outChannels: 4, kernelSize: 3, padding: 1 }
const size = { embedDim: 4, numHeads: 2 }

/** Layers, what they are run on, and parameters that do not matter in evaluation. */
const layers: [() => nn.Layer, number[]][] = [
  [() => new nn.Linear({ inFeatures: 6, outFeatures: 4, flattenedFrom: [1, 3, 2], ...random() }), [2, 6]],
  [() => new nn.Conv1d({ ...conv, ...random() }), [2, 5, 4]],
  [() => new nn.Conv2d({ ...conv, groups: 2, stride: [1, 2], ...random() }), [1, 4, 3, 4]],
  [() => new nn.Conv2d({ ...conv, groups: 4, dilation: 2, padding: 'same', ...random() }), [1, 4, 3, 4]],
  [() => new nn.Conv3d({ ...conv, ...random() }), [1, 2, 3, 2, 4]],
  [() => new nn.ConvTranspose2d({ ...conv, stride: 2, outputPadding: 1, ...random() }), [1, 2, 3, 4]],
  [() => new nn.ConvTranspose3d({ ...conv, stride: 2, padding: [0, 1, 1], ...random() }), [1, 2, 1, 2, 4]],
  [() => new nn.BatchNorm({ numFeatures: 3 }), [4, 3]],
  [() => new nn.LayerNorm({ normalizedShape: [2, 3] }), [4, 2, 3]],
  [() => new nn.GroupNorm({ numGroups: 2, numChannels: 4 }), [2, 3, 4]],
  [() => new nn.MultiHeadAttention({ ...size, dropout: 0.2, ...random() }), [2, 3, 4]],
  [() => new nn.TransformerBlock({ ...size, feedForwardDim: 6, activation: 'gelu', ...random() }), [2, 3, 4]],
  [
    () =>
      new nn.Sequential(
        new nn.Conv2d({ ...conv, ...random() }),
        new nn.BatchNorm({ numFeatures: 4 }),
        new nn.SiLU(),
        new nn.Dropout({ rate: 0.2, ...random() }),
        new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }),
        new nn.AvgPool2d({ kernelSize: 2 }),
      ),
    [1, 3, 2, 4],
  ],
]
for (const [i, [make, shape]] of layers.entries()) {
  const layer = make()
  const name = `${i}: ${layer.constructor.name}`
  layer.dispose()
  onEachBackend(name, moduleContract({ make, run: m => m.forward(sample(shape)) }))
}

onEachBackend(
  'Embedding',
  moduleContract({
    make: () => new nn.Embedding({ numEmbeddings: 4, embeddingDim: 3, ...random() }),
    run: m => m.forward(tf.tensor2d([3, 0, 1, 1, 2, 3], [2, 3], 'int32')),
  }),
)

onEachBackend(
  'LSTM',
  moduleContract({
    make: () =>
      new nn.LSTM({
        inputSize: 2,
        hiddenSize: 3,
        numLayers: 2,
        bidirectional: true,
        dropout: 0.2,
        ...random(),
      }),
    run: m => m.forward(sample([2, 4, 2]), { lengths: [4, 2] }).output,
  }),
)

onEachBackend(
  'TransformerBlock with memory',
  moduleContract({
    make: () =>
      new nn.TransformerBlock({
        ...size,
        feedForwardDim: 6,
        crossAttention: true,
        preNorm: true,
        ...random(),
      }),
    run: m => tf.tanh(m.forward(sample([1, 3, 4]), { memory: sample([1, 2, 4], 3), causal: true })),
  }),
)
