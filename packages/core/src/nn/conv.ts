import type * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectShape } from '../check.js'
import { conv2d, conv2dTranspose } from '../ops/conv.js'
import type { Random } from '../random.js'
import { kaimingUniform } from './init.js'
import { Layer } from './layer.js'
import { convLayout } from './layout.js'

export interface Conv2dOptions {
  inChannels: number
  outChannels: number
  /** Height and width of the filter. */
  kernelSize: number
  /** Default 1. */
  stride?: number
  /** Zeros on each side. Default 0. */
  padding?: number
  /** Default true. */
  bias?: boolean
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

abstract class AnyConv2d extends Layer {
  readonly weight: tf.Variable<tf.Rank.R4>
  readonly bias: tf.Variable<tf.Rank.R1> | undefined
  readonly inChannels: number
  readonly stride: number
  readonly padding: number

  constructor(options: Conv2dOptions, shape: [number, number, number, number], fanIn: number) {
    super()
    const { inChannels, outChannels, kernelSize, stride = 1, padding = 0, bias = true, random } = options
    const name = this.constructor.name
    expectInteger(name, 'inChannels', inChannels, 1)
    expectInteger(name, 'outChannels', outChannels, 1)
    expectInteger(name, 'kernelSize', kernelSize, 1)
    expectInteger(name, 'stride', stride, 1)
    expectInteger(name, 'padding', padding, 0)
    this.inChannels = inChannels
    this.stride = stride
    this.padding = padding
    this.weight = this.addParameter('weight', kaimingUniform<tf.Rank.R4>(shape, fanIn, random), convLayout)
    // PyTorch draws the bias from the same range as the weights.
    this.bias = bias
      ? this.addParameter('bias', kaimingUniform<tf.Rank.R1>([outChannels], fanIn, random))
      : undefined
  }

  protected checked(x: tf.Tensor): tf.Tensor4D {
    expectShape(
      x.rank === 4 && x.shape[3] === this.inChannels,
      `${this.constructor.name}.forward`,
      `images [B, H, W, ${this.inChannels}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass NHWC images with that number of channels.',
    )
    return x as tf.Tensor4D
  }
}

/** Convolution, x [B, H, W, I] → [B, (H + 2·padding − k)/stride + 1, …, O]. `weight` is [k, k, I, O] in memory, OIHW on disk. */
export class Conv2d extends AnyConv2d {
  constructor(options: Conv2dOptions) {
    const { inChannels: i, outChannels: o, kernelSize: k } = options
    super(options, [k, k, i, o], i * k * k)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    return conv2d(this.checked(x), this.weight, this.bias, this)
  }
}

/** Transposed convolution, x [B, H, W, I] → [B, (H − 1)·stride − 2·padding + k, …, O]. `weight` is [k, k, O, I] in memory, IOHW on disk. */
export class ConvTranspose2d extends AnyConv2d {
  constructor(options: Conv2dOptions) {
    const { inChannels: i, outChannels: o, kernelSize: k } = options
    // PyTorch takes the fan from axis 1 of [I, O, k, k], the outputs.
    super(options, [k, k, o, i], o * k * k)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    return conv2dTranspose(this.checked(x), this.weight, this.bias, this)
  }
}
