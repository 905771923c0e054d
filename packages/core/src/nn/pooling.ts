import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectShape } from '../check.js'
import { type PerAxis, perAxis } from '../ops/convolution-geometry.js'
import { hasKernel } from '../ops/kernel.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'
import { largestSize, resample } from './resample.js'

export interface PoolOptions {
  /** Size of the window. */
  kernelSize: PerAxis
  /** Default: kernelSize. */
  stride?: PerAxis
  /** On each side, at most half the window. Default 0. */
  padding?: PerAxis
}

abstract class Pool extends Layer {
  readonly kernelSize: readonly number[]
  readonly stride: readonly number[]
  readonly padding: readonly number[]
  private readonly operation: string

  constructor(name: string, axes: number, options: PoolOptions) {
    super()
    const { kernelSize, stride = kernelSize, padding = 0 } = optionsOf(name, options)
    this.kernelSize = perAxis(name, 'kernelSize', kernelSize, axes, 1)
    this.stride = perAxis(name, 'stride', stride, axes, 1)
    this.padding = perAxis(name, 'padding', padding, axes, 0)
    this.operation = `${name}.forward`
    expectConfig(
      this.padding.every((p, i) => 2 * p <= this.kernelSize[i]),
      name,
      `padding of at most half the window [${this.kernelSize}]`,
      padding,
      'Use less padding: a window must not lie outside.',
    )
  }

  protected check(x: tf.Tensor): void {
    expectTensor(this.operation, x)
    const { kernelSize, padding } = this
    const axes = kernelSize.length
    expectShape(
      x.rank === axes + 2 && kernelSize.every((k, i) => x.shape[i + 1] + 2 * padding[i] >= k),
      this.operation,
      `a tensor [B, ${axes === 2 ? 'H, W' : 'D, H, W'}, C] at least as large as the window [${kernelSize}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Use larger images or a smaller window.',
    )
  }

  protected padded<T extends tf.Tensor>(x: T, value: number): T {
    const pads = this.padding.map((p): [number, number] => [p, p])
    return this.padding.every(p => p === 0) ? x : tf.pad(x, [[0, 0], ...pads, [0, 0]], value)
  }
}

/**
 * The largest of each window, x [B, H, W, C] → [B, (H + 2·padding − k)/stride + 1, …, C], rounded down. Of equal values
 * the first gets the gradient. Throws VqConfigError for options out of range, VqShapeError for other shapes.
 */
export class MaxPool2d extends Pool {
  constructor(options: PoolOptions) {
    super('MaxPool2d', 2, options)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    this.check(x)
    return tf.tidy(() => largest(x as tf.Tensor4D, this.kernelSize, this.stride, this.padding))
  }
}

/** As {@link MaxPool2d} over three axes, x [B, D, H, W, C]. */
export class MaxPool3d extends Pool {
  constructor(options: PoolOptions) {
    super('MaxPool3d', 3, options)
  }

  forward(x: tf.Tensor): tf.Tensor5D {
    this.check(x)
    const [b, d, h, w, c] = (x as tf.Tensor5D).shape
    const { kernelSize, stride, padding } = this
    // Each picture's largest, then the largest of these along the depth: tfjs's own gradient in three dimensions is wrong
    // where height and width of the window differ.
    return tf.tidy(() => {
      const pictures = tf.reshape(x, [b * d, h, w, c]) as tf.Tensor4D
      const planes = largest(pictures, kernelSize.slice(1), stride.slice(1), padding.slice(1))
      const [, height, width] = planes.shape
      const columns = tf.reshape(planes, [b, d, height * width, c]) as tf.Tensor4D
      const y = largest(columns, [kernelSize[0], 1], [stride[0], 1], [padding[0], 0])
      return tf.reshape(y, [b, y.shape[1], height, width, c])
    })
  }
}

function largest(
  x: tf.Tensor4D,
  kernelSize: readonly number[],
  stride: readonly number[],
  [top, left]: readonly number[],
): tf.Tensor4D {
  const pads: [number, number][] = [[0, 0], [top, top], [left, left], [0, 0]] // biome-ignore format: pairs
  const [kernel, steps] = [kernelSize, stride] as unknown as [number, number][]
  if (top + left === 0) return tf.maxPool(x, kernel, steps, 'valid')
  // Only ours is sure to take padding on each side.
  if (hasKernel('VqConv2d')) return tf.maxPool(x, kernel, steps, pads as never)
  return tf.maxPool(tf.pad(x, pads, Number.NEGATIVE_INFINITY), kernel, steps, 'valid')
}

export interface AvgPoolOptions extends PoolOptions {
  /** Whether padding counts as zeros, as is PyTorch's default; else the mean is over what lies inside. Default true. */
  countIncludePad?: boolean
}

/** The mean of each window; shapes and errors as {@link MaxPool2d}. */
export class AvgPool2d extends Pool {
  readonly countIncludePad: boolean

  constructor(options: AvgPoolOptions) {
    super('AvgPool2d', 2, options)
    this.countIncludePad = options.countIncludePad ?? true
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    this.check(x)
    const [kernelSize, stride] = [this.kernelSize, this.stride] as unknown as [number, number][]
    return tf.tidy(() => {
      const mean = (image: tf.Tensor4D): tf.Tensor4D => tf.avgPool(image, kernelSize, stride, 'valid')
      const image = x as tf.Tensor4D
      const means = mean(this.padded(image, 0))
      if (this.countIncludePad || this.padding.every(p => p === 0)) return means
      // The share of each window that lies inside.
      return tf.div(means, mean(this.padded(tf.ones([1, image.shape[1], image.shape[2], 1]), 0)))
    })
  }
}

/**
 * Means over windows so chosen that the result has a given size: x [B, H, W, C] → [B, outputSize, C], the window of place i
 * being ⌊i·H/out⌋ … ⌈(i + 1)·H/out⌉ − 1. Throws VqConfigError for sizes below 1, VqShapeError for other shapes.
 */
export class AdaptiveAvgPool2d extends Layer {
  readonly outputSize: readonly number[]

  /** outputSize: one number, or [height, width]. */
  constructor(options: { outputSize: PerAxis }) {
    super()
    const { outputSize } = optionsOf('AdaptiveAvgPool2d', options)
    this.outputSize = perAxis('AdaptiveAvgPool2d', 'outputSize', outputSize, 2, 1, largestSize)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    expectTensor('AdaptiveAvgPool2d.forward', x)
    expectShape(
      x.rank === 4 && x.shape.slice(1, 3).every(n => n > 0),
      'AdaptiveAvgPool2d.forward',
      'images [B, H, W, C]',
      `a tensor [${x.shape.join(', ')}]`,
      'Pass NHWC images.',
    )
    const [height, width] = this.outputSize
    if (height === 1 && width === 1) return tf.mean(x, [1, 2], true) as tf.Tensor4D
    const image = x as tf.Tensor4D
    return tf.tidy(() =>
      resample(
        image,
        [height, width].map((out, i) => windows(image.shape[i + 1], out)),
      ),
    )
  }
}

// [out, size]: the weights of each window's mean.
function windows(size: number, out: number): Float32Array[] {
  return Array.from({ length: out }, (_, i) => {
    const [from, to] = [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)]
    return new Float32Array(size).fill(1 / (to - from), from, to)
  })
}
