import { type Random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  BatchNorm,
  Conv1d,
  Conv2d,
  Conv3d,
  ConvTranspose2d,
  ConvTranspose3d,
  Dropout,
  ELU,
  Embedding,
  Flatten,
  GELU,
  GroupNorm,
  Identity,
  LayerNorm,
  LeakyReLU,
  Linear,
  LSTM,
  MaxPool2d,
  MaxPool3d,
  type Module,
  MultiHeadAttention,
  ReLU,
  Sigmoid,
  SiLU,
  Softmax,
  Softplus,
  Tanh,
  TransformerBlock,
  Unflatten,
  Upsample,
} from '@vq/core/nn'
import { expect, test } from 'vitest'

const conv = { inChannels: 4, outChannels: 4, kernelSize: 2 }

// What plain JavaScript may pass: every constructor, every forward.
type Loose = Module & { forward(x: unknown): unknown }
type LooseClass = new (options?: unknown) => Loose

const modules: [unknown, unknown][] = [
  [Linear, { inFeatures: 4, outFeatures: 3 }],
  [Conv1d, conv],
  [Conv2d, conv],
  [Conv3d, conv],
  [ConvTranspose2d, conv],
  [ConvTranspose3d, conv],
  [BatchNorm, { numFeatures: 4 }],
  [LayerNorm, { numFeatures: 4 }],
  [GroupNorm, { numGroups: 2, numChannels: 4 }],
  [Embedding, { numEmbeddings: 4, embeddingDim: 3 }],
  [MultiHeadAttention, { embedDim: 4, numHeads: 2 }],
  [TransformerBlock, { embedDim: 4, numHeads: 2 }],
  [LSTM, { inputSize: 4, hiddenSize: 3 }],
  [MaxPool2d, { kernelSize: 2 }],
  [MaxPool3d, { kernelSize: 2 }],
  [AvgPool2d, { kernelSize: 2 }],
  [AdaptiveAvgPool2d, { outputSize: 2 }],
  [Upsample, { size: 4 }],
  [Unflatten, { shape: [2, 2] }],
  ...[Dropout, LeakyReLU, GELU, ELU, Softplus, Softmax, Flatten].map((m): [unknown, unknown] => [m, {}]),
]
const bare = [ReLU, SiLU, Sigmoid, Tanh, Identity]
const name = (type: unknown): string => (type as LooseClass).name

test.each(modules.map(([type]) => [name(type), type]))(
  '%s refuses what are no options with a VqConfigError',
  (name, type) => {
    const Type = type as LooseClass
    const before = tf.memory().numTensors
    for (const wrong of [null, 3, 0.3, 'abc', true, [1]]) {
      expect(() => new Type(wrong)).toThrow(VqConfigError)
      expect(() => new Type(wrong)).toThrow(`${name}: expected an object of options`)
    }
    for (const random of [5, null, {}, Math]) expect(() => new Type({ random })).toThrow(VqConfigError)
    expect(tf.memory().numTensors).toBe(before)
  },
)

test.each(
  [...modules, ...bare.map(type => [type, {}])].map(([type, options]) => [name(type), type, options]),
)(
  '%s.forward refuses what is no tensor, of another type or disposed of, by its own name',
  (name, type, options) => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const module = new (type as LooseClass)(options)
    const gone = tf.zeros([2, 4], name === 'Embedding' ? 'int32' : 'float32')
    gone.dispose()
    const before = tf.memory().numTensors
    for (const wrong of [undefined, null, 3, 'a', [[1, 2, 3, 4]], new Float32Array(4)]) {
      expect(() => module.forward(wrong)).toThrow(VqShapeError)
      expect(() => module.forward(wrong)).toThrow(`${name}.forward: expected `)
    }
    expect(() => module.forward(gone)).toThrow(VqValueError)
    expect(() => module.forward(gone)).toThrow(`${name}.forward: expected `)
    if (!['Identity', 'Flatten', 'Unflatten'].includes(name))
      for (const shape of [
        [2, 4],
        [2, 5, 4],
        [2, 5, 5, 4],
        [2, 5, 5, 5, 4],
      ])
        tf.tidy(() => {
          const x = tf.fill(shape, 'a', 'string')
          expect(() => module.forward(x)).toThrow(VqShapeError)
          expect(() => module.forward(x)).toThrow(`${name}.forward: expected `)
        })
    expect(tf.memory().numTensors).toBe(before)
    module.dispose()
  },
)

test('what a generator is said to be must be one', () => {
  expect(() => new Dropout({ random: { uniform: () => 0 } as unknown as Random })).toThrow(VqConfigError)
})

test.each([
  ['dilation', { padding: 'same', dilation: 1_000_000_000 }],
  ['dilation', { padding: 500_000_000, dilation: 1_000_000_000 }],
  ['padding', { padding: 1_000_000_000 }],
  ['padding', { padding: [[0, 1e300], 0] }],
] as const)(
  'a convolution that reaches far behind the edges is refused for its %s, soon',
  (what, options) => {
    for (const type of [Conv2d, ConvTranspose2d]) {
      const make = (): unknown => new type({ ...conv, ...(options as object) })
      if (type === ConvTranspose2d && 'dilation' in options && options.padding === 'same') continue
      expect(make).toThrow(VqConfigError)
      expect(make).toThrow(new RegExp(`^${type.name}: expected ${what}.* of at most 65536`))
    }
  },
)

test('the native core refuses such a convolution, too', () => {
  const [x, w] = [tf.ones<tf.Rank.R4>([1, 4, 4, 4]), tf.ones<tf.Rank.R4>([2, 2, 4, 4])]
  expect(() => tf.conv2d(x, w, 1, 'same', 'NHWC', 1e9)).toThrow(/more than 1048576 places/)
  const least = tf.conv2d(x, w, 1, 'same', 'NHWC', 1000)
  // Only the tap in the middle of nowhere, the upper left one, lies inside: at (−500, −500) nothing does.
  expect(least.dataSync().every(v => v === 0)).toBe(true)
  tf.dispose([x, w, least])
})

test('sizes for whose places no list could be made are refused', () => {
  expect(() => new Upsample({ size: 1e9 })).toThrow(VqConfigError)
  expect(() => new AdaptiveAvgPool2d({ outputSize: [1, 2 ** 21] })).toThrow(VqConfigError)
  const x = tf.ones([1, 4, 4, 1])
  expect(() => new Upsample({ scaleFactor: 1e6 }).forward(x)).toThrow(VqShapeError)
  expect(() => new Upsample({ scaleFactor: 'ab' as never })).toThrow(VqConfigError)
  x.dispose()
})
