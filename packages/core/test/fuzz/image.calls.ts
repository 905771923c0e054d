import type { FuzzTable } from './call.js'
import type { Rng } from './rng.js'

/** Kernels of images, and of the boxes found in them. */

const images = (r: Rng, least = 0): number[] => [
  r.int(least, 3),
  r.int(1, 9),
  r.int(1, 9),
  r.pick([1, 2, 3, 4, 5, 19]),
]
const alignment = (r: Rng): { alignCorners: boolean; halfPixelCenters: boolean } =>
  r.pick([
    { alignCorners: false, halfPixelCenters: false },
    { alignCorners: true, halfPixelCenters: false },
    { alignCorners: false, halfPixelCenters: true },
  ])
const size = (r: Rng): [number, number] => [r.int(1, 9), r.int(1, 9)]
const boxes = (r: Rng) => {
  const n = r.int(0, 30)
  return { boxes: r.tensor([n, 4]), scores: r.floats([n], 0, 1) }
}
const suppression = (r: Rng): Record<string, unknown> => ({
  maxOutputSize: r.int(0, 40),
  iouThreshold: r.pick([0, 0.1, 0.5, 1]),
  scoreThreshold: r.pick([Number.NEGATIVE_INFINITY, 0, 0.4]),
})

export const image: FuzzTable = {
  ResizeBilinear: {
    call: r => ({
      inputs: { images: r.tensor(images(r), r.pick(['float32', 'int32'])) },
      attrs: { size: size(r), ...alignment(r) },
    }),
    tolerance: 2e-5,
  },
  ResizeNearestNeighbor: {
    call: r => ({
      // Small integers: it keeps them as float32 for a while.
      inputs: { images: r.pick([r.tensor(images(r), 'float32', 0.1), r.tensor(images(r), 'int32')]) },
      attrs: { size: size(r), ...alignment(r) },
    }),
  },
  ResizeBilinearGrad: {
    call: r => {
      const shape = images(r)
      if (r.chance(0.6)) shape[2] = shape[1]
      const dy = [shape[0], ...size(r), shape[3]]
      return { inputs: { images: r.tensor(shape), dy: r.tensor(dy) }, attrs: alignment(r) }
    },
    tolerance: 2e-5,
    // It swaps height and width in the shape, and does not know half-pixel centres.
    plainIsWrong: ({ inputs, attrs }) => {
      const { shape } = inputs.images as { shape: number[] }
      return shape[1] !== shape[2] || attrs?.halfPixelCenters === true
    },
  },
  ResizeNearestNeighborGrad: {
    call: r => {
      const shape = images(r)
      if (r.chance(0.6)) shape[0] = Math.min(1, shape[0])
      const dy = [shape[0], ...size(r), shape[3]]
      return { inputs: { images: r.tensor(shape), dy: r.tensor(dy) }, attrs: alignment(r) }
    },
    tolerance: 2e-5,
    // It reads wrong images of a batch, does not know half-pixel centres, and never ends where corners of one pixel align.
    plainIsWrong: ({ inputs, attrs }) => {
      const { shape } = inputs.images as { shape: number[] }
      return shape[0] > 1 || attrs?.halfPixelCenters === true || attrs?.alignCorners === true
    },
  },
  CropAndResize: {
    call: r => {
      const shape = images(r)
      const count = shape[0] === 0 ? 0 : r.int(0, 4)
      return {
        inputs: {
          image: r.tensor(shape),
          boxes: r.floats([count, 4], -0.5, 1.5),
          boxInd: r.ints([count], 0, shape[0]),
        },
        attrs: {
          cropSize: size(r),
          method: r.pick(['bilinear', 'nearest']),
          extrapolationValue: r.pick([0, 0.5]),
        },
      }
    },
    tolerance: 1e-4,
  },
  FlipLeftRight: {
    call: r => ({ inputs: { image: r.tensor(images(r), r.pick(['float32', 'int32']), 0.1) } }),
  },
  RotateWithOffset: {
    call: r => ({
      inputs: { image: r.tensor(images(r), r.pick(['float32', 'int32'])) },
      attrs: {
        radians: r.next() * 14 - 7,
        fillValue: r.pick<unknown>([0, 7, [1, 2, 3]]),
        center: r.pick<unknown>([0.5, [0.3, 0.25]]),
      },
    }),
  },
  Transform: {
    call: r => {
      // The plain backend leaves all images but the first untouched.
      const [, h, w, c] = images(r)
      const transforms = r.tensor([1, 8])
      transforms.data = transforms.data.map((v, i) => (i % 8 > 5 ? Math.fround((v as number) * 0.02) : v))
      return {
        inputs: { image: r.tensor([1, h, w, c]), transforms },
        attrs: {
          interpolation: r.pick(['nearest', 'bilinear']),
          fillMode: r.pick(['constant', 'reflect', 'wrap', 'nearest']),
          fillValue: r.pick([0, 3]),
          outputShape: r.pick([undefined, size(r)]),
        },
      }
    },
    tolerance: 1e-4,
  },
  NonMaxSuppressionV3: { call: r => ({ inputs: boxes(r), attrs: suppression(r) }) },
  NonMaxSuppressionV4: {
    call: r => ({ inputs: boxes(r), attrs: { ...suppression(r), padToMaxOutputSize: r.chance(0.5) } }),
  },
  NonMaxSuppressionV5: {
    call: r => ({ inputs: boxes(r), attrs: { ...suppression(r), softNmsSigma: r.pick([0, 0.2, 0.5]) } }),
    tolerance: 1e-5,
  },
}
