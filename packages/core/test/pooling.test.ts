import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { agree, drawn, Integers, Padding, runs } from './agreement.js'

// Pooling kernels against tfjs's plain backend over random shapes, and gradients by finite differences.

const shape2d = fc.record({
  batch: fc.integer({ min: 0, max: 3 }),
  size: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
  channels: fc.constantFrom(1, 2, 3, 5, 17, 70),
  filter: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
  stride: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
  pad: Padding,
  seed: Integers,
})

const fits = (size: number[], filter: number[], pad: unknown): boolean =>
  pad === 'same' || size.every((d, i) => d >= filter[i])

for (const dtype of ['float32', 'int32'] as const)
  test(`2D pooling of ${dtype} agrees with the plain backend`, () => {
    fc.assert(
      fc.property(shape2d, ({ batch, size, channels, filter, stride, pad, seed }) => {
        fc.pre(fits(size, filter, pad))
        const x = drawn([batch, ...size, channels], seed, dtype)
        const attrs = { filterSize: filter, strides: stride, pad }
        agree('MaxPool', { x }, attrs)
        agree('AvgPool', { x }, attrs)
      }),
      runs,
    )
  })

test('positions of maxima agree with the plain backend', () => {
  fc.assert(
    fc.property(shape2d, fc.boolean(), ({ batch, size, channels, filter, stride, pad, seed }, images) => {
      fc.pre(fits(size, filter, pad) && typeof pad === 'string')
      const x = drawn([batch, ...size, channels], seed)
      agree(
        'MaxPoolWithArgmax',
        { x },
        { filterSize: filter, strides: stride, pad, includeBatchInIndex: images },
      )
    }),
    runs,
  )
})

test('gradients of 2D maxima agree with the plain backend, ties included', () => {
  fc.assert(
    fc.property(shape2d, fc.boolean(), ({ batch, size, channels, filter, stride, pad, seed }, ties) => {
      fc.pre(fits(size, filter, pad))
      const input = drawn([batch, ...size, channels], seed, ties ? 'int32' : 'float32')
      if (ties) input.dtype = 'float32'
      const attrs = { filterSize: filter, strides: stride, pad }
      const output = tf.backend_util.computePool2DInfo(input.shape as never, filter, stride, 1, pad as never)
      const dy = drawn(output.outShape, seed + 1)
      agree('MaxPoolGrad', { dy, input, output: dy }, attrs)
      // Unpadded means; the plain backend's gradient ignores that padding is not counted.
      if (pad === 'valid') agree('AvgPoolGrad', { dy, input }, attrs)
    }),
    runs,
  )
})

const shape3d = fc.record({
  batch: fc.integer({ min: 0, max: 2 }),
  size: fc.tuple(
    ...([1, 2, 3].map(() => fc.integer({ min: 1, max: 6 })) as [
      fc.Arbitrary<number>,
      fc.Arbitrary<number>,
      fc.Arbitrary<number>,
    ]),
  ),
  channels: fc.constantFrom(1, 3, 18),
  filter: fc.integer({ min: 1, max: 3 }),
  stride: fc.integer({ min: 1, max: 3 }),
  pad: fc.constantFrom('same', 'valid'),
  seed: Integers,
})

test('3D pooling and its gradients agree with the plain backend', () => {
  fc.assert(
    fc.property(shape3d, ({ batch, size, channels, filter, stride, pad, seed }) => {
      fc.pre(fits(size, [filter, filter, filter], pad))
      const x = drawn([batch, ...size, channels], seed)
      const cube = [filter, filter, filter]
      const attrs = { filterSize: cube, strides: [stride, stride, stride], pad, dataFormat: 'NDHWC' }
      agree('MaxPool3D', { x }, attrs)
      agree('AvgPool3D', { x }, attrs)
      const info = tf.backend_util.computePool3DInfo(x.shape as never, cube as never, stride, 1, pad as never)
      const dy = drawn(info.outShape, seed + 1)
      agree('MaxPool3DGrad', { dy, input: x }, attrs)
      if (pad === 'valid') agree('AvgPool3DGrad', { dy, input: x }, attrs)
    }),
    runs,
  )
})

test('NaN is never a maximum, and a mean with NaN is NaN, as on the plain backend', () => {
  const x = drawn([1, 5, 5, 20], 1)
  for (let i = 0; i < x.data.length; i += 3) x.data[i] = Number.NaN
  x.data.fill(Number.NaN, 0, 60)
  for (const kernel of ['MaxPool', 'AvgPool', 'MaxPoolWithArgmax'])
    agree(kernel, { x }, { filterSize: 2, strides: 1, pad: 'same' })
  const deep = { ...x, shape: [1, 5, 5, 1, 20] }
  for (const kernel of ['MaxPool3D', 'AvgPool3D'])
    agree(kernel, { x: deep }, { filterSize: 2, strides: 1, pad: 'same', dataFormat: 'NDHWC' })
})

/** Σ dy·mean over windows in float64; the mean counts pixels inside the image. */
function meanLoss(x: number[], [H, W]: number[], dy: number[], f: number, s: number, p: number): number {
  const [oh, ow] = [H, W].map(d => Math.floor((d + 2 * p - f) / s) + 1)
  let loss = 0
  for (let r = 0; r < oh; r++)
    for (let c = 0; c < ow; c++) {
      const inside: number[] = []
      for (let i = 0; i < f; i++)
        for (let j = 0; j < f; j++) {
          const [u, v] = [r * s + i - p, c * s + j - p]
          if (u >= 0 && v >= 0 && u < H && v < W) inside.push(x[u * W + v])
        }
      loss += (dy[r * ow + c] * inside.reduce((a, b) => a + b, 0)) / inside.length
    }
  return loss
}

test('the gradient of padded means is that of the op, by finite differences', () => {
  tf.setBackend('vq-cpu')
  expect(tf.getBackend()).toBe('vq-cpu')
  for (const [f, s, p] of [
    [3, 1, 1],
    [3, 2, 1],
    [2, 2, 1],
    [4, 3, 2],
  ]) {
    const x = drawn([1, 6, 7, 1], f + s)
    const y = tf.avgPool(tf.tensor4d(x.data, [1, 6, 7, 1]), f, s, p)
    const dy = drawn(y.shape, 5)
    const dx = tf.grad(x => tf.avgPool(x as tf.Tensor4D, f, s, p))(
      tf.tensor(x.data, x.shape),
      tf.tensor(dy.data, dy.shape),
    )
    const got = dx.dataSync()
    for (let i = 0; i < x.data.length; i++) {
      const at = (delta: number): number =>
        meanLoss(
          x.data.map((v, j) => (j === i ? v + delta : v)),
          [6, 7],
          dy.data,
          f,
          s,
          p,
        )
      expect(got[i]).toBeCloseTo((at(1e-3) - at(-1e-3)) / 2e-3, 5)
    }
  }
})

test('a filter larger than the image is a typed error, not a crash', () => {
  tf.setBackend('vq-cpu')
  const x = tf.zeros([1, 2, 2, 1]) as tf.Tensor4D
  expect(() => tf.maxPool(x, 5, 1, 'valid')).toThrow(/kernel MaxPool on vq-cpu: expected whole sizes/)
  expect(() => tf.maxPool(x, 2, 1, 0.5)).toThrow(/kernel MaxPool on vq-cpu: expected whole sizes/)
})
