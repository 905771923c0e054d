import '@tensorflow/tfjs-backend-cpu'
import { tf } from '@vq/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { agree, drawn, Integers, kernel, runs } from './agreement.js'
import { uniform } from './draw.js'

// Image, suppression and response normalisation kernels against tfjs's plain backend.

const side = fc.integer({ min: 1, max: 9 })
const images = fc.record({
  batch: fc.integer({ min: 0, max: 3 }),
  size: fc.tuple(side, side),
  channels: fc.constantFrom(1, 2, 3, 4, 5, 19),
  seed: Integers,
})
const dtypes = fc.constantFrom('float32', 'int32', 'bool') as fc.Arbitrary<'float32' | 'int32' | 'bool'>
const alignment = fc.constantFrom(
  { alignCorners: false, halfPixelCenters: false },
  { alignCorners: true, halfPixelCenters: false },
  { alignCorners: false, halfPixelCenters: true },
)

test('resizing agrees with the plain backend', () => {
  fc.assert(
    fc.property(images, fc.tuple(side, side), alignment, dtypes, (g, size, aligned, dtype) => {
      const x = drawn([g.batch, ...g.size, g.channels], g.seed, dtype)
      agree('ResizeBilinear', { images: x }, { size, ...aligned })
      agree('ResizeNearestNeighbor', { images: x }, { size, ...aligned })
    }),
    runs,
  )
})

test('gradients of resizing agree with the plain backend on square images', () => {
  fc.assert(
    fc.property(images, fc.tuple(side, side), fc.boolean(), (g, size, alignCorners) => {
      // The plain backend swaps height and width in the shape of the bilinear gradient, and never ends where a single pixel
      // is stretched between corners.
      fc.pre(!alignCorners || g.size[0] > 1)
      const x = drawn([g.batch, g.size[0], g.size[0], g.channels], g.seed)
      const dy = drawn([g.batch, ...size, g.channels], g.seed + 1)
      const attrs = { alignCorners, halfPixelCenters: false }
      agree('ResizeBilinearGrad', { images: x, dy }, attrs)
      // It also takes the images of dy to lie as far apart as those of dx.
      if (g.batch < 2) agree('ResizeNearestNeighborGrad', { images: x, dy }, attrs)
    }),
    runs,
  )
})

test('gradients of resizing are the transpose of the forward kernels, for every alignment', () => {
  tf.setBackend('vq-cpu')
  expect(tf.getBackend()).toBe('vq-cpu')
  const dot = (a: tf.Tensor, b: tf.Tensor): number => {
    const [u, w] = [a.dataSync<'float32'>(), b.dataSync<'float32'>()]
    return u.reduce((s, v, i) => s + v * w[i], 0)
  }
  fc.assert(
    fc.property(images, fc.tuple(side, side), alignment, (g, size, aligned) => {
      const x = drawn([g.batch, ...g.size, g.channels], g.seed)
      const v = drawn([g.batch, ...size, g.channels], g.seed + 1)
      tf.tidy(() => {
        const [image, dy] = [x, v].map(t => tf.tensor4d(t.data, t.shape as [number, number, number, number]))
        for (const op of [tf.image.resizeBilinear, tf.image.resizeNearestNeighbor]) {
          const resize = (t: tf.Tensor): tf.Tensor =>
            op(t as tf.Tensor4D, size, aligned.alignCorners, aligned.halfPixelCenters)
          const dx = tf.grad(resize)(image, dy)
          expect(dx.shape).toEqual(image.shape)
          // ⟨dy, R·x⟩ = ⟨Rᵀ·dy, x⟩
          expect(Math.abs(dot(dy, resize(image)) - dot(dx, image))).toBeLessThan(1e-3)
        }
      })
    }),
    runs,
  )
})

test('cropping agrees with the plain backend, boxes outside the image and beyond the batch included', () => {
  fc.assert(
    fc.property(
      images,
      fc.tuple(side, side),
      fc.constantFrom('bilinear', 'nearest'),
      Integers,
      (g, cropSize, method, seed) => {
        const next = uniform(seed)
        const count = Math.floor(next() * 4)
        const image = drawn([g.batch, ...g.size, g.channels], g.seed)
        const boxes = drawn([count, 4], seed)
        boxes.data = boxes.data.map(v => Math.fround(v * 0.6 + 0.3))
        const which = Array.from({ length: count }, () => Math.floor(next() * (g.batch + 1)))
        const boxInd = { shape: [count], dtype: 'int32' as const, data: which }
        agree('CropAndResize', { image, boxes, boxInd }, { cropSize, method, extrapolationValue: 0.5 })
      },
    ),
    runs,
  )
})

test('flips and rotations agree with the plain backend', () => {
  const centers = fc.oneof(
    fc.constant(0.5),
    fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(0.25)),
  )
  const fills = fc.constantFrom<number | number[]>(0, 7, [1, 2, 3])
  const angle = fc.double({ min: -7, max: 7, noNaN: true })
  fc.assert(
    fc.property(images, dtypes, angle, centers, fills, (g, dtype, radians, center, fillValue) => {
      const image = drawn([g.batch, ...g.size, g.channels], g.seed, dtype)
      agree('FlipLeftRight', { image }, {})
      agree('RotateWithOffset', { image }, { radians, center, fillValue })
    }),
    runs,
  )
})

const transformation = fc.record({
  interpolation: fc.constantFrom('nearest', 'bilinear'),
  fillMode: fc.constantFrom('constant', 'reflect', 'wrap', 'nearest'),
  fillValue: fc.constantFrom(0, 3),
  outputShape: fc.option(fc.tuple(side, side)),
})

test('projective transforms agree with the plain backend, and each image of a batch has its own', () => {
  fc.assert(
    fc.property(images, transformation, Integers, (g, attrs, seed) => {
      fc.pre(g.batch > 0)
      const image = drawn([g.batch, ...g.size, g.channels], g.seed)
      const transforms = drawn([g.batch, 8], seed)
      transforms.data = transforms.data.map((v, i) => (i % 8 > 5 ? Math.fround(v * 0.02) : v))
      const got = kernel('vq-cpu', 'Transform', { image, transforms }, attrs)[0]
      const each = got.data.length / g.batch
      // The plain backend leaves all images but the first untouched, so it is asked image by image.
      for (let n = 0; n < g.batch; n++) {
        const part = (v: typeof image): typeof image => {
          const size = v.data.length / g.batch
          return { ...v, shape: [1, ...v.shape.slice(1)], data: v.data.slice(n * size, (n + 1) * size) }
        }
        const inputs = { image: part(image), transforms: part(transforms) }
        const expected = kernel('cpu', 'Transform', inputs, attrs)[0]
        expect(got.shape).toEqual([g.batch, ...expected.shape.slice(1)])
        for (const [i, e] of expected.data.entries())
          if (!(Math.abs(got.data[n * each + i] - e) < 1e-4)) expect(got.data[n * each + i]).toBe(e)
      }
    }),
    runs,
  )
})

test('non-maximum suppression agrees with the plain backend: hard, padded and soft', () => {
  const settings = fc.record({
    count: fc.integer({ min: 0, max: 40 }),
    maxOutputSize: fc.integer({ min: 0, max: 50 }),
    iouThreshold: fc.constantFrom(0, 0.1, 0.3, 0.5, 1),
    scoreThreshold: fc.constantFrom(Number.NEGATIVE_INFINITY, 0, 0.4),
    softNmsSigma: fc.constantFrom(0, 0.2, 0.5),
    padToMaxOutputSize: fc.boolean(),
    ties: fc.boolean(),
    seed: Integers,
  })
  fc.assert(
    fc.property(settings, ({ count, ties, seed, ...attrs }) => {
      const boxes = drawn([count, 4], seed)
      const scores = drawn([count], seed + 1)
      if (ties) scores.data = scores.data.map(v => Math.round(v))
      const hard = { ...attrs, softNmsSigma: undefined }
      agree('NonMaxSuppressionV3', { boxes, scores }, hard)
      agree('NonMaxSuppressionV4', { boxes, scores }, hard)
      agree('NonMaxSuppressionV5', { boxes, scores }, attrs)
    }),
    runs,
  )
})

test('local response normalisation and its gradient agree with the plain backend', () => {
  const numbers = fc.record({
    depthRadius: fc.integer({ min: 0, max: 6 }),
    bias: fc.constantFrom(1, 2),
    alpha: fc.constantFrom(1, 0.1),
    beta: fc.constantFrom(0.5, 0.75, 1.3),
  })
  fc.assert(
    fc.property(images, numbers, (g, attrs) => {
      const x = drawn([g.batch, ...g.size, g.channels], g.seed)
      agree('LRN', { x }, attrs)
      const y = kernel('cpu', 'LRN', { x }, attrs)[0]
      const dy = drawn(x.shape, g.seed + 1)
      agree('LRNGrad', { x, y: { ...y, dtype: 'float32' }, dy }, attrs)
    }),
    runs,
  )
})

test('what cannot be run is a typed error', () => {
  tf.setBackend('vq-cpu')
  const x = tf.zeros([1, 0, 3, 2]) as tf.Tensor4D
  expect(() => tf.image.resizeBilinear(x, [4, 4])).toThrow(/an image without pixels cannot be resized/)
  const box = tf.tensor2d([[0, 0, 1, 1]])
  const image = tf.zeros([1, 3, 3, 1]) as tf.Tensor4D
  expect(() => tf.image.cropAndResize(image, box, tf.tensor1d([-1], 'int32'), [2, 2])).toThrow(
    /negative index/,
  )
})
