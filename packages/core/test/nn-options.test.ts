import { tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import * as nn from '@vq/core/nn'
import { describe, expect, it } from 'vitest'
import { onBackends, use } from '../../../test/contract/backends.js'

const conv = { inChannels: 4, outChannels: 6, kernelSize: 3 }
const attention = { embedDim: 4, numHeads: 2 }
const table = tf.variable(tf.zeros([3, 2]), false)

/** Options out of range, by what the message says. */
const bad: Record<string, [() => unknown, RegExp]> = {
  'no channels': [() => new nn.Conv2d({ ...conv, inChannels: 0 }), /^Conv2d: expected inChannels/],
  'half a channel': [() => new nn.Conv3d({ ...conv, outChannels: 1.5 }), /^Conv3d: expected outChannels/],
  'an empty kernel': [() => new nn.Conv1d({ ...conv, kernelSize: 0 }), /^Conv1d: expected kernelSize/],
  'three axes of two': [() => new nn.Conv2d({ ...conv, kernelSize: [3, 3, 3] }), /or 2 such numbers/],
  'a stride of zero': [() => new nn.Conv2d({ ...conv, stride: [1, 0] }), /expected stride/],
  'negative padding': [() => new nn.ConvTranspose2d({ ...conv, padding: -1 }), /expected padding/],
  'half a pair of padding': [
    () => new nn.Conv2d({ ...conv, padding: [[1], 1] as never }),
    /expected padding/,
  ],
  'padding the same with a stride': [
    () => new nn.Conv2d({ ...conv, padding: 'same', stride: 2 }),
    /stride 1 beside padding 'same'/,
  ],
  'padding by another name': [() => new nn.Conv2d({ ...conv, padding: 'full' as never }), /expected padding/],
  'groups that do not divide': [() => new nn.Conv2d({ ...conv, groups: 3 }), /to be multiples of groups/],
  'too much output padding': [
    () => new nn.ConvTranspose3d({ ...conv, stride: 2, outputPadding: 2 }),
    /outputPadding to be less than stride or dilation/,
  ],
  'a map of another size': [
    () => new nn.Linear({ inFeatures: 6, outFeatures: 1, flattenedFrom: [2, 2, 2] }),
    /flattenedFrom to be the sizes of a feature map/,
  ],
  'a tied weight of another size': [
    () => new nn.Linear({ inFeatures: 3, outFeatures: 2, tiedWeight: table as tf.Variable<tf.Rank.R2> }),
    /tiedWeight to be a variable \[2, 3\]/,
  ],
  'no features': [() => new nn.BatchNorm({ numFeatures: 0 }), /^BatchNorm: expected numFeatures/],
  'momentum above one': [() => new nn.BatchNorm({ numFeatures: 1, momentum: 2 }), /momentum/],
  'no axes': [
    () => new nn.LayerNorm({ normalizedShape: [] }),
    /^LayerNorm: expected numFeatures or normalizedShape/,
  ],
  'nothing to normalise': [() => new nn.LayerNorm({}), /^LayerNorm: expected numFeatures or normalizedShape/],
  'groups of channels': [() => new nn.GroupNorm({ numGroups: 4, numChannels: 6 }), /numGroups to divide/],
  'a padding row that is none': [
    () => new nn.Embedding({ numEmbeddings: 3, embeddingDim: 2, paddingIdx: 3 }),
    /paddingIdx to be a whole number from -3 to 2/,
  ],
  'heads that do not divide': [
    () => new nn.MultiHeadAttention({ embedDim: 4, numHeads: 3 }),
    /numHeads to divide/,
  ],
  'dropout of everything': [() => new nn.MultiHeadAttention({ ...attention, dropout: 1 }), /dropout/],
  'an unknown activation': [
    () => new nn.TransformerBlock({ ...attention, activation: 'silu' as never }),
    /^TransformerBlock: expected activation/,
  ],
  'dropout between one layer': [
    () => new nn.LSTM({ inputSize: 1, hiddenSize: 1, dropout: 0.5 }),
    /between layers/,
  ],
  'no layers': [
    () => new nn.LSTM({ inputSize: 1, hiddenSize: 1, numLayers: 0 }),
    /^LSTM: expected numLayers/,
  ],
  'padding beyond the window': [
    () => new nn.MaxPool2d({ kernelSize: 2, padding: 2 }),
    /at most half the window/,
  ],
  'no size': [() => new nn.AdaptiveAvgPool2d({ outputSize: 0 }), /^AdaptiveAvgPool2d: expected outputSize/],
  'a size and a scale': [() => new nn.Upsample({ size: 2, scaleFactor: 2 }), /either size or scaleFactor/],
  'neither size nor scale': [() => new nn.Upsample({}), /either size or scaleFactor/],
  'a scale of zero': [() => new nn.Upsample({ scaleFactor: 0 }), /scaleFactor/],
  'an unknown mode': [() => new nn.Upsample({ size: 1, mode: 'cubic' as never }), /^Upsample: expected mode/],
  'an unknown approximation': [
    () => new nn.GELU({ approximate: 'erf' as never }),
    /^GELU: expected approximate/,
  ],
  'an endless slope': [
    () => new nn.LeakyReLU({ negativeSlope: Number.NaN }),
    /^LeakyReLU: expected negativeSlope/,
  ],
  'a shape of nothing': [() => new nn.Unflatten({ shape: [] }), /^Unflatten: expected shape/],
}

const layers: Record<string, [() => nn.Layer, number[]]> = {
  Linear: [() => new nn.Linear({ inFeatures: 3, outFeatures: 2 }), [2, 4]],
  Conv1d: [() => new nn.Conv1d(conv), [1, 9, 3]],
  Conv2d: [() => new nn.Conv2d(conv), [9, 9, 4]],
  'Conv2d of a small image': [() => new nn.Conv2d(conv), [1, 2, 9, 4]],
  'Conv3d of a small volume': [() => new nn.Conv3d(conv), [1, 9, 9, 2, 4]],
  ConvTranspose2d: [() => new nn.ConvTranspose2d(conv), [1, 9, 9, 6]],
  'ConvTranspose2d with more padding than result': [
    () => new nn.ConvTranspose2d({ ...conv, padding: 2 }),
    [1, 1, 1, 4],
  ],
  ConvTranspose3d: [() => new nn.ConvTranspose3d(conv), [1, 9, 9, 4]],
  BatchNorm: [() => new nn.BatchNorm({ numFeatures: 3 }), [2, 2]],
  LayerNorm: [() => new nn.LayerNorm({ normalizedShape: [2, 3] }), [3, 2]],
  GroupNorm: [() => new nn.GroupNorm({ numGroups: 1, numChannels: 2 }), [2]],
  Embedding: [() => new nn.Embedding({ numEmbeddings: 3, embeddingDim: 2 }), [2, 2]],
  MultiHeadAttention: [() => new nn.MultiHeadAttention(attention), [1, 2, 5]],
  MaxPool2d: [() => new nn.MaxPool2d({ kernelSize: 3 }), [1, 2, 4, 1]],
  MaxPool3d: [() => new nn.MaxPool3d({ kernelSize: 3 }), [1, 4, 4, 1]],
  AvgPool2d: [() => new nn.AvgPool2d({ kernelSize: 3 }), [4, 4, 1]],
  AdaptiveAvgPool2d: [() => new nn.AdaptiveAvgPool2d({ outputSize: 2 }), [4, 4, 1]],
  Upsample: [() => new nn.Upsample({ scaleFactor: 2 }), [4, 4, 1]],
  Flatten: [() => new nn.Flatten({ startAxis: 2 }), [4, 4]],
  Unflatten: [() => new nn.Unflatten({ shape: [2, 2] }), [4, 5]],
}

it.each(Object.entries(bad))('refuses %s', (_, [make, message]) => {
  const before = tf.memory().numTensors
  expect(make).toThrow(VqConfigError)
  expect(make).toThrow(message)
  // Nothing is left behind by what was not made.
  expect(tf.memory().numTensors).toBe(before)
})

onBackends(backend => {
  it.each(Object.entries(layers))('%s names itself where a tensor does not fit', (name, [make, shape]) => {
    const layer = make()
    const x = tf.zeros(shape)
    expect(() => layer.forward(x)).toThrow(VqShapeError)
    const own = `${name.split(' ')[0]}.forward`
    expect(() => layer.forward(x)).toThrow(new RegExp(`^${own}: expected`))
    x.dispose()
    layer.dispose()
  })

  it('LSTM refuses shapes, states and lengths that do not fit', () => {
    const lstm = new nn.LSTM({ inputSize: 2, hiddenSize: 3 })
    tf.tidy(() => {
      expect(() => lstm.forward(tf.zeros([1, 2, 3]))).toThrow(/^LSTM.forward: expected x \[B, T, 2\]/)
      const [x, h, c] = [
        tf.zeros([1, 2, 2]),
        tf.zeros<tf.Rank.R3>([1, 1, 3]),
        tf.zeros<tf.Rank.R3>([1, 1, 4]),
      ]
      expect(() => lstm.forward(x, { initialState: { h, c } })).toThrow(VqShapeError)
      expect(() => lstm.forward(x, { lengths: [3] })).toThrow(VqValueError)
    })
    lstm.dispose()
  })

  it('Embedding refuses indices that are no row', () => {
    const layer = new nn.Embedding({ numEmbeddings: 3, embeddingDim: 2 })
    tf.tidy(() => {
      expect(() => layer.forward(tf.tensor1d([0, 3], 'int32'))).toThrow(VqValueError)
    })
    layer.dispose()
  })

  if (backend === 'vq-cpu')
    it('a layer is one kernel', () => {
      const image = [1, 5, 5, 4]
      const one: [nn.Layer, number[], string][] = [
        [new nn.Conv2d({ ...conv, padding: [1, 0], dilation: 2 }), image, 'VqConv2d'],
        [new nn.ConvTranspose2d({ ...conv, stride: 2, outputPadding: 1 }), image, 'VqConv2dTranspose'],
        [new nn.Linear({ inFeatures: 4, outFeatures: 2 }), [3, 4], 'VqLinear'],
        [new nn.LayerNorm({ numFeatures: 4 }), [3, 4], 'VqLayerNorm'],
        [new nn.GroupNorm({ numGroups: 2, numChannels: 4 }), image, 'VqGroupNorm'],
        [new nn.GELU(), image, 'VqActivation'],
      ]
      for (const [layer, shape, kernel] of one) {
        const { engine } = tf
        const run = engine().runKernel
        const names: string[] = []
        engine().runKernel = ((name: string, ...rest: [never, never]) => {
          names.push(name)
          return run.call(engine(), name, ...rest)
        }) as never
        try {
          tf.tidy(() => void layer.forward(tf.zeros(shape)))
        } finally {
          engine().runKernel = run
        }
        expect(names.filter(name => !['Fill', 'Identity'].includes(name))).toEqual([kernel])
        layer.dispose()
      }
    })
})

describe('shapes', () => {
  it('Identity, Flatten and Unflatten keep every value', () => {
    tf.tidy(() => {
      const x = tf.reshape(tf.range(0, 24), [2, 3, 4])
      const cases: [nn.Layer, number[]][] = [
        [new nn.Identity(), [2, 3, 4]],
        [new nn.Flatten(), [2, 12]],
        [new nn.Flatten({ startAxis: 0, endAxis: 1 }), [6, 4]],
        [new nn.Unflatten({ shape: [2, 2] }), [2, 3, 2, 2]],
      ]
      for (const [layer, shape] of cases) {
        const y = layer.forward(x)
        expect(y.shape).toEqual(shape)
        expect(y.dataSync()).toEqual(x.dataSync())
      }
    })
  })
})

describe('Upsample and pools', () => {
  it('keep constants, whatever the sizes', async () => {
    await use('vq-cpu')
    for (let size = 1; size <= 6; size++)
      for (let out = 1; out <= 7; out++)
        for (const layer of [
          new nn.Upsample({ size: out, mode: 'bilinear' }),
          new nn.Upsample({ size: out }),
          new nn.AdaptiveAvgPool2d({ outputSize: out }),
        ])
          tf.tidy(() => {
            const y = layer.forward(tf.fill([1, size, size, 1], 3))
            expect(y.shape).toEqual([1, out, out, 1])
            expect(tf.max(tf.abs(tf.sub(y, 3))).dataSync()[0]).toBeLessThan(1e-6)
          })
  })
})
