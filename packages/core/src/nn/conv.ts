import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectInteger, expectShape } from '../check.js'
import { convolve1d, convolve2d } from '../ops/conv.js'
import { convolveNormalised } from '../ops/conv-norm.js'
import { transpose2d } from '../ops/conv-transpose.js'
import { convolve3d, transpose3d } from '../ops/conv3d.js'
import {
  type ConvOptions,
  type ConvTransposeOptions,
  type Geometry,
  geometryOf,
  type PerAxis,
  perAxis,
} from '../ops/convolution-geometry.js'
import type { Random } from '../random.js'
import { type AfterNorm, BatchNorm } from './batch-norm.js'
import { expectTensor, optionsOf } from './given.js'
import { fans } from './init.js'
import { Layer } from './layer.js'
import { convolutionLayout } from './layout.js'
import { likeTorch } from './start.js'

interface Channels {
  inChannels: number
  outChannels: number
  /** Size of the filter. */
  kernelSize: PerAxis
  /** Default true. */
  bias?: boolean
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** Of Conv1d, Conv2d and Conv3d. Channels must be multiples of `groups`; with as many groups as inputs it is depthwise. */
export interface ConvolutionOptions extends Channels, ConvOptions {}

/** Of ConvTranspose2d and ConvTranspose3d. */
export interface TransposedConvolutionOptions extends Channels, ConvTransposeOptions {}

abstract class Convolution<R extends tf.Rank> extends Layer {
  /** [...kernel, in, out], or [...kernel, out, in] of a transposed one. */
  readonly weight: tf.Variable<R>
  /** [out] */
  readonly bias: tf.Variable<tf.Rank.R1> | undefined
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly number[]
  protected readonly geometry: Geometry
  protected readonly operation: string

  constructor(
    name: string,
    options: ConvolutionOptions | TransposedConvolutionOptions,
    axes: number,
    transposed: boolean,
  ) {
    super()
    const { inChannels, outChannels, kernelSize, bias = true, random } = optionsOf(name, options)
    expectInteger(name, 'inChannels', inChannels, 1)
    expectInteger(name, 'outChannels', outChannels, 1)
    this.kernelSize = perAxis(name, 'kernelSize', kernelSize, axes, 1)
    this.geometry = geometryOf(name, this.kernelSize, options as ConvOptions)
    const { groups } = this.geometry
    expectConfig(
      inChannels % groups === 0 && outChannels % groups === 0,
      name,
      `inChannels (${inChannels}) and outChannels (${outChannels}) to be multiples of groups`,
      groups,
      'Choose a common divisor.',
    )
    this.operation = `${name}.forward`
    this.inChannels = inChannels
    this.outChannels = outChannels
    const channels = transposed ? [outChannels / groups, inChannels] : [inChannels / groups, outChannels]
    const shape = [...this.kernelSize, ...channels] as tf.ShapeMap[R]
    const { fanIn } = fans(shape)
    this.weight = this.addParameter<R>('weight', likeTorch(shape, fanIn, random), convolutionLayout(axes))
    this.bias = bias
      ? this.addParameter('bias', likeTorch<tf.Rank.R1>([outChannels], fanIn, random))
      : undefined
  }

  protected check(x: tf.Tensor): void {
    expectTensor(this.operation, x)
    const { rank } = this.weight
    if (x.rank === rank && x.shape[rank - 1] === this.inChannels) return
    expectShape(
      false,
      this.operation,
      `a tensor [B, ${['L', 'H, W', 'D, H, W'][rank - 3]}, ${this.inChannels}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass that number of axes, with that number of channels last.',
    )
  }
}

/**
 * Convolution over one axis, x [B, L, in] → [B, (L + 2·padding − dilation·(k − 1) − 1)/stride + 1, out], rounded down.
 * `weight` is [k, in/groups, out] in memory, [out, in/groups, k] on disk; it and the bias start in ±1/√(in/groups·k).
 * Throws VqConfigError for options out of range, VqShapeError for other shapes and for inputs shorter than the filter.
 */
export class Conv1d extends Convolution<tf.Rank.R3> {
  constructor(options: ConvolutionOptions) {
    super('Conv1d', options, 1, false)
  }

  forward(x: tf.Tensor): tf.Tensor3D {
    this.check(x)
    return convolve1d(this.operation, x as tf.Tensor3D, this.weight, this.bias, this.geometry)
  }
}

/**
 * Convolution of images, x [B, H, W, in] → [B, (H + 2·padding − dilation·(kh − 1) − 1)/stride + 1, …, out], rounded down.
 * `weight` is [kh, kw, in/groups, out] in memory, OIHW on disk; it and the bias start in ±1/√(in/groups·kh·kw).
 * Throws VqConfigError for options out of range, VqShapeError for other shapes and for images smaller than the filter.
 *
 * @example
 * new Conv2d({ inChannels: 3, outChannels: 64, kernelSize: 4, stride: 2, padding: 1 })   // halves an image
 */
export class Conv2d extends Convolution<tf.Rank.R4> {
  constructor(options: ConvolutionOptions) {
    super('Conv2d', options, 2, false)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    this.check(x)
    return convolve2d(this.operation, x as tf.Tensor4D, this.weight, this.bias, this.geometry)
  }

  /** `norm.forward(this.forward(x), after)`; in evaluation, where no gradients are recorded, in one pass. */
  forwardInto(norm: BatchNorm, x: tf.Tensor, after: AfterNorm = {}): tf.Tensor4D {
    this.check(x)
    const isNorm = norm instanceof BatchNorm
    expectConfig(isNorm, 'Conv2d.forwardInto', 'a BatchNorm', norm, 'Pass the normalisation that follows.')
    const { weight, bias, geometry } = this
    const given = norm.numFeatures === this.outChannels ? norm.inference : undefined
    const y = given && convolveNormalised(x as tf.Tensor4D, weight, bias, geometry, given, after)
    return y ?? tf.tidy(() => norm.forward(this.forward(x), after) as tf.Tensor4D)
  }
}

/**
 * Convolution of videos and volumes, x [B, D, H, W, in] → [B, …, out], sizes as Conv2d's. `weight` is
 * [kd, kh, kw, in/groups, out] in memory, [out, in/groups, kd, kh, kw] on disk. Starts and throws as {@link Conv2d}.
 */
export class Conv3d extends Convolution<tf.Rank.R5> {
  constructor(options: ConvolutionOptions) {
    super('Conv3d', options, 3, false)
  }

  forward(x: tf.Tensor): tf.Tensor5D {
    this.check(x)
    return convolve3d(this.operation, x as tf.Tensor5D, this.weight, this.bias, this.geometry)
  }
}

/**
 * Transposed convolution, x [B, H, W, in] → [B, (H − 1)·stride − 2·padding + dilation·(kh − 1) + 1 + outputPadding, …, out].
 * `weight` is [kh, kw, out/groups, in] in memory, IOHW on disk; as in PyTorch it and the bias start in
 * ±1/√(out/groups·kh·kw). Throws as {@link Conv2d}.
 * Source: Dumoulin and Visin 2016, https://arxiv.org/abs/1603.07285, chapter 4.
 */
export class ConvTranspose2d extends Convolution<tf.Rank.R4> {
  constructor(options: TransposedConvolutionOptions) {
    super('ConvTranspose2d', options, 2, true)
  }

  forward(x: tf.Tensor): tf.Tensor4D {
    this.check(x)
    return transpose2d(this.operation, x as tf.Tensor4D, this.weight, this.bias, this.geometry)
  }
}

/** As {@link ConvTranspose2d} over three axes: x [B, D, H, W, in]; `weight` [kd, kh, kw, out/groups, in] in memory. */
export class ConvTranspose3d extends Convolution<tf.Rank.R5> {
  constructor(options: TransposedConvolutionOptions) {
    super('ConvTranspose3d', options, 3, true)
  }

  forward(x: tf.Tensor): tf.Tensor5D {
    this.check(x)
    return transpose3d(this.operation, x as tf.Tensor5D, this.weight, this.bias, this.geometry)
  }
}
