import {
  device,
  dropout,
  embedding,
  gelu,
  groupNorm,
  type LstmWeights,
  layerNorm,
  linear,
  logSoftmax,
  lstm,
  Random,
  scaledDotProductAttention,
  softmax,
  softmaxCrossEntropy,
  tf,
  VqValueError,
} from '@vq/core'
import { expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { uniform } from './draw.js'
import { cases } from './fused-cases.js'

/** float32 values in [−scale, scale). */
function noise(count: number, seed: number, scale = 1): number[] {
  const next = uniform(seed)
  return Array.from({ length: count }, () => Math.fround(scale * (2 * next() - 1)))
}

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length)
  let square = 0
  for (let i = 0; i < expected.length; i++) square += expected[i] ** 2
  const scale = Math.max(1e-2, Math.sqrt(square / Math.max(1, expected.length)))
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(actual[i] - expected[i]) <= tolerance * scale))
      expect(actual[i], `element ${i}`).toBe(expected[i])
}

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

for (const backend of backends)
  test.each(cases)(`$name: values and gradients on ${backend}`, async ({ shapes, op, oracle, scale }) => {
    await use(backend)
    const data = shapes.map((s, i) => noise(size(s), 11 + i, scale))
    const y = oracle(...data)
    const weights = noise(y.length, 5)
    const loss = (values: number[][]): number => oracle(...values).reduce((s, v, i) => s + v * weights[i], 0)
    const expected = data.map((d, k) =>
      d.map((_, i) => {
        const at = (delta: number): number =>
          loss(data.map((v, j) => (j === k ? v.map((w, l) => (l === i ? w + delta : w)) : v)))
        return (at(1e-5) - at(-1e-5)) / 2e-5
      }),
    )
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const tensors = data.map((d, i) => tf.tensor(d, shapes[i]))
      const held = tf.memory().numTensors
      const plain = op(...tensors)
      close(plain.dataSync(), y, 2e-5)
      plain.dispose()
      if (backend === 'vq-cpu') expect(tf.memory().numTensors - held).toBeLessThanOrEqual(4)
      const gradients = tf.grads((...x: tf.Tensor[]) => {
        const out = op(...x)
        return tf.sum(tf.mul(out, tf.tensor(weights, out.shape)))
      })(tensors)
      for (const [i, g] of gradients.entries()) {
        expect(g.shape).toEqual(shapes[i])
        close(g.dataSync(), expected[i], 2e-4)
      }
    })
    expect(tf.memory().numTensors).toBe(before)
  })

/** Inputs large enough for several chunks and threads: the same bits with one thread as with two. */
const large: [string, number[][], (...x: tf.Tensor[]) => tf.Tensor][] = [
  ['layerNorm', [[1500, 77], [77], [77]], (x, g, b) => layerNorm(x, g as tf.Tensor1D, b as tf.Tensor1D)],
  ['gelu', [[123457]], x => gelu(x)],
  ['softmax', [[700, 301]], x => softmax(x)],
  ['logSoftmax', [[700, 301]], x => logSoftmax(x)],
  [
    'softmaxCrossEntropy',
    [[900, 130]],
    x =>
      softmaxCrossEntropy(x, tf.mod(tf.range(0, 900, 1, 'int32'), tf.scalar(130, 'int32')), {
        labelSmoothing: 0.1,
      }),
  ],
  [
    'groupNorm',
    [[3, 40, 40, 24], [24], [24]],
    (x, g, b) => groupNorm(x, 4, g as tf.Tensor1D, b as tf.Tensor1D),
  ],
  [
    'embedding',
    [[50, 70]],
    t => embedding(tf.mod(tf.range(0, 3000, 1, 'int32'), tf.scalar(50, 'int32')), t as tf.Tensor2D),
  ],
  [
    'lstm',
    [[20, 12, 30], [30, 160], [40, 160], [160]],
    (x, kernel, recurrentKernel, bias) =>
      lstm(x as tf.Tensor3D, { kernel, recurrentKernel, bias } as LstmWeights).output,
  ],
  ['dropout', [[50001]], x => dropout(x, 0.4, { generator: new Random(3, 4) })],
  [
    'scaledDotProductAttention',
    [
      [1, 3, 300, 20],
      [1, 3, 1100, 20],
      [1, 3, 1100, 20],
    ],
    (q, k, v) =>
      scaledDotProductAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {
        causal: true,
        dropout: 0.1,
        generator: new Random(5),
      }),
  ],
  [
    'linear',
    [[2100, 33], [33, 65], [65]],
    (x, w, b) => linear(x, w as tf.Tensor2D, b as tf.Tensor1D, 'gelu'),
  ],
]

test.each(large)('%s gives the same bits with one thread and with two', async (_, shapes, op) => {
  await use('vq-cpu')
  const run = (threads: number): ArrayLike<number>[] => {
    device.threads = threads
    return tf.tidy(() => {
      const x = shapes.map((s, i) => tf.tensor(noise(size(s), 3 + i), s))
      const { value, grads } = tf.valueAndGrads((...x: tf.Tensor[]) => {
        const y = op(...x)
        return tf.sum(tf.mul(y, tf.sin(tf.reshape(tf.range(0, y.size), y.shape))))
      })(x)
      return [value, ...grads, op(...x)].map(t => t.dataSync())
    })
  }
  const threads = device.threads
  try {
    const [one, two] = [run(1), run(2)]
    for (const [i, values] of one.entries()) expect(values).toEqual(two[i])
  } finally {
    device.threads = threads
  }
})

test('what softmax does with infinities and NaN', async () => {
  await use('vq-cpu')
  const inf = Number.POSITIVE_INFINITY
  tf.tidy(() => {
    const y = softmax(tf.tensor2d([[0, -inf, 0], [-inf, -inf, -inf], [1, Number.NaN, 2], [inf, 0, 0]])) // biome-ignore format: a matrix
    expect(Array.from(y.dataSync()).map(v => (Number.isNaN(v) ? 'NaN' : v))).toEqual([
      0.5, 0, 0.5, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN',
    ]) // biome-ignore format: a matrix
  })
})

test.each(backends)('a label out of range is named, an empty mean is NaN, on %s', async backend => {
  await use(backend)
  const before = tf.memory().numTensors
  tf.tidy(() => {
    const logits = tf.zeros([3, 4])
    expect(() => softmaxCrossEntropy(logits, tf.tensor1d([0, 4, 1], 'int32'))).toThrow(VqValueError)
    expect(() => softmaxCrossEntropy(logits, tf.tensor1d([0, 1, -2], 'int32'))).toThrow(
      /labels from 0 to 3 or ignoreIndex, received -2 at position 2/,
    )
    expect(softmaxCrossEntropy(logits, tf.tensor1d([-1, -1, -1], 'int32')).dataSync()[0]).toBeNaN()
  })
  expect(tf.memory().numTensors).toBe(before)
})

test('wrong shapes and dtypes are named before anything runs', async () => {
  await use('vq-cpu')
  tf.tidy(() => {
    const x = tf.zeros([2, 3])
    expect(() => layerNorm(x, tf.zeros([4]))).toThrow(/layerNorm: expected x \[..., C\].*\[2,3\].*\[4\]/)
    expect(() => layerNorm(tf.zeros([2, 3], 'int32'))).toThrow(
      /layerNorm: expected tensors of float32.*int32/,
    )
    expect(() => linear(x, tf.zeros([2, 2]))).toThrow(/linear: expected x.*weight \[2,2\]/)
    expect(() => linear(x, tf.zeros([3, 2]), undefined, 'swish' as never)).toThrow(/activation to be one of/)
    expect(() => softmax(x, 2)).toThrow(/softmax: expected axis/)
    expect(() => softmaxCrossEntropy(x, tf.zeros([2]))).toThrow(/labels of int32/)
  })
})
