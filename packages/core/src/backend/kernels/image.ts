import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { expectOneOf, expectShape } from '../../check.js'
import { dtypeCode } from '../data.js'
import type { Attributes, Kernel, KernelTable } from '../kernel.js'
import { expectSize, onFloats, turnInto } from './windows.js'

/** Batch, input height and width, output height and width, channels, and where pixels are taken to lie. */
function resizeArguments(input: readonly number[], [height, width]: number[], attrs: Attributes): number[] {
  const [batch, inHeight, inWidth, channels] = input
  const flags = [attrs.alignCorners === true ? 1 : 0, attrs.halfPixelCenters === true ? 1 : 0]
  return [batch, inHeight, inWidth, height, width, channels, ...flags]
}

function expectImages(operation: string, x: TensorInfo): void {
  expectShape(
    x.shape.length === 4,
    `kernel ${operation} on vq-cpu`,
    'images [batch, height, width, channels]',
    `[${x.shape}]`,
    'Add the axes that are missing.',
  )
}

// The gradients are the transpose of the forward weights, for half-pixel centres too.
const resizeGradient =
  (name: string): Kernel =>
  ({ images, dy }, attrs, backend) => {
    expectImages(name, images)
    const [batch, , , channels] = images.shape
    expectSize(name, 'dy', dy, [batch, dy.shape[1], dy.shape[2], channels])
    const dx = onFloats(backend, [dy], ([given]) => {
      const out = backend.allocate(images.shape, 'float32')
      backend.run(name, ...resizeArguments(images.shape, dy.shape.slice(1, 3), attrs), given, out)
      return out
    })
    return name === 'ResizeBilinearGrad' ? dx : turnInto(backend, dx, images.dtype)
  }

const fillModes = ['constant', 'reflect', 'wrap', 'nearest']

/** Kernels that resize, crop and turn images. */
export const image: KernelTable = {
  ResizeBilinear: ({ images }, attrs, backend) => {
    expectImages('ResizeBilinear', images)
    const size = attrs.size as number[]
    return onFloats(backend, [images], ([x]) => {
      const out = backend.allocate([x.shape[0], ...size, x.shape[3]], 'float32')
      backend.run('ResizeBilinear', ...resizeArguments(x.shape, size, attrs), x, out)
      return out
    })
  },
  ResizeBilinearGrad: resizeGradient('ResizeBilinearGrad'),
  ResizeNearestNeighbor: ({ images: x }, attrs, backend) => {
    expectImages('ResizeNearestNeighbor', x)
    const size = attrs.size as number[]
    const out = backend.allocate([x.shape[0], ...size, x.shape[3]], x.dtype)
    backend.run('ResizeNearestNeighbor', dtypeCode(x.dtype), ...resizeArguments(x.shape, size, attrs), x, out)
    return out
  },
  ResizeNearestNeighborGrad: resizeGradient('ResizeNearestNeighborGrad'),
  CropAndResize: ({ image: images, boxes, boxInd }, attrs, backend) => {
    const { cropSize, method, extrapolationValue } = attrs as Record<string, never>
    expectImages('CropAndResize', images)
    expectOneOf('kernel CropAndResize on vq-cpu', 'method', method, ['bilinear', 'nearest'])
    const [height, width] = cropSize as number[]
    const count = boxes.shape[0]
    expectSize('CropAndResize', 'boxes', boxes, [count, 4])
    expectSize('CropAndResize', 'boxInd', boxInd, [count])
    return onFloats(backend, [images, boxes], ([x, b]) => {
      const which = turnInto(backend, backend.alias(boxInd, boxInd.shape), 'int32')
      const out = backend.allocate([count, height, width, x.shape[3]], 'float32')
      const sizes = [...x.shape, count, height, width]
      const outside = (extrapolationValue as number | undefined) ?? 0
      backend.run('CropAndResize', ...sizes, method === 'bilinear', outside, x, b, which, out)
      backend.disposeData(which.dataId)
      return out
    })
  },
  FlipLeftRight: ({ image: x }, _, backend) => {
    expectImages('FlipLeftRight', x)
    const out = backend.allocate(x.shape, x.dtype)
    backend.run('FlipLeftRight', dtypeCode(x.dtype), ...x.shape, x, out)
    return out
  },
  RotateWithOffset: ({ image: x }, attrs, backend) => {
    const { radians, fillValue, center } = attrs as Record<string, never>
    expectImages('RotateWithOffset', x)
    const [centerX, centerY] = backend_util.getImageCenter(center, x.shape[1], x.shape[2])
    // A colour fills channels 0 to 2 and leaves the fourth opaque.
    const fill =
      typeof fillValue === 'number'
        ? new Array<number>(5).fill(fillValue)
        : [...[0, 1, 2].map(k => (fillValue as number[])[k] ?? Number.NaN), 255, Number.NaN]
    const out = backend.allocate(x.shape, x.dtype)
    const turn = [Math.sin(radians), Math.cos(radians), centerX, centerY]
    backend.run('RotateWithOffset', dtypeCode(x.dtype), ...x.shape, ...turn, ...fill, x, out)
    return out
  },
  Transform: ({ image: x, transforms }, attrs, backend) => {
    const { interpolation, fillMode, fillValue, outputShape } = attrs as Record<string, never>
    const operation = 'kernel Transform on vq-cpu'
    expectImages('Transform', x)
    expectOneOf(operation, 'interpolation', interpolation, ['nearest', 'bilinear'])
    expectOneOf(operation, 'fillMode', fillMode, fillModes)
    const count = transforms.shape[0]
    expectSize('Transform', 'transforms', transforms, [count, 8])
    const [height, width] = (outputShape as number[] | undefined | null) ?? x.shape.slice(1, 3)
    return onFloats(backend, [transforms], ([t]) => {
      const out = backend.allocate([x.shape[0], height, width, x.shape[3]], x.dtype)
      const sizes = [dtypeCode(x.dtype), ...x.shape, height, width, count]
      const mode = fillModes.indexOf(fillMode)
      backend.run('Transform', ...sizes, interpolation === 'bilinear', mode, fillValue, t, x, out)
      return out
    })
  },
}
