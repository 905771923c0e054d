// Starts of parameters, as torch.nn.init has them. Every function makes a new float32 tensor; to start a module anew:
//   tf.tidy(() => layer.weight.assign(init.xavierUniform(layer.weight.shape)))
import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { expectConfig, expectNumber, expectOneOf, expectShape } from '../check.js'
import { type Random, random } from '../random.js'
import { orthonormal } from './orthonormal.js'
import { drawTruncated } from './truncated.js'

const nonlinearities = ['linear', 'convolution', 'sigmoid', 'tanh', 'relu', 'leakyRelu', 'selu'] as const
/** What follows a layer, for the gain of its start. */
export type Nonlinearity = (typeof nonlinearities)[number]

/** U[low, high], float32 of shape `shape`. */
export function uniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  low = 0,
  high = 1,
  generator: Random = random,
): tf.Tensor<R> {
  return tf.tensor(generator.fillUniform(empty(shape), low, high), shape)
}

/** N(mean, deviation²), float32 of shape `shape`. */
export function normal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  mean = 0,
  deviation = 1,
  generator: Random = random,
): tf.Tensor<R> {
  expectNumber('init.normal', 'mean', mean, -Number.MAX_VALUE, Number.MAX_VALUE)
  expectNumber('init.normal', 'deviation', deviation, 0, Number.MAX_VALUE)
  return tf.tensor(generator.fillNormal(empty(shape), mean, deviation), shape)
}

export interface TruncatedNormalOptions {
  /** Of the normal distribution before it is cut. Default 0. */
  mean?: number
  /** Of the normal distribution before it is cut. Default 1. */
  deviation?: number
  /** The least value. Default −2. */
  low?: number
  /** The largest value. Default 2. */
  high?: number
  /** Default: the global generator. */
  random?: Random
}

/**
 * N(mean, deviation²) given that it lies in [low, high], which are values and not counts of deviations, as in PyTorch.
 * Throws VqConfigError unless low < high.
 */
export function truncatedNormal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  options: TruncatedNormalOptions = {},
): tf.Tensor<R> {
  const { mean = 0, deviation = 1, low = -2, high = 2, random: generator = random } = options
  const operation = 'init.truncatedNormal'
  for (const [name, value] of Object.entries({ mean, low, high }))
    expectNumber(operation, name, value, -1e30, 1e30)
  expectNumber(operation, 'deviation', deviation, Number.MIN_VALUE, 1e30)
  expectConfig(
    low < high,
    operation,
    `low to be less than high (${high})`,
    low,
    'Swap them, or widen the range.',
  )
  const next = drawTruncated((low - mean) / deviation, (high - mean) / deviation, generator)
  const values = empty(shape)
  // Rounding may not carry a value over its bounds.
  for (let i = 0; i < values.length; i++) values[i] = Math.min(high, Math.max(low, mean + deviation * next()))
  return tf.tensor(values, shape)
}

/** One value everywhere. */
export function constant<R extends tf.Rank>(shape: tf.ShapeMap[R], value: number): tf.Tensor<R> {
  expectNumber('init.constant', 'value', value, -Number.MAX_VALUE, Number.MAX_VALUE)
  return tf.tensor(empty(shape).fill(value), shape)
}

export function zeros<R extends tf.Rank>(shape: tf.ShapeMap[R]): tf.Tensor<R> {
  return constant<R>(shape, 0)
}

export function ones<R extends tf.Rank>(shape: tf.ShapeMap[R]): tf.Tensor<R> {
  return constant<R>(shape, 1)
}

/**
 * How many inputs feed each output and how many outputs each input feeds, of a weight as it lies in memory:
 * [...kernel, in, out] of linear and convolution layers, [...kernel, out, in] of transposed convolutions, whose fans are
 * PyTorch's: exchanged. Throws VqShapeError for less than two axes.
 */
export function fans(shape: readonly number[]): { fanIn: number; fanOut: number } {
  expectShape(
    shape.length >= 2,
    'init.fans',
    'a weight of at least two axes',
    `shape [${shape}]`,
    'Biases have no fans: use uniform or constant.',
  )
  const window = sizeOf(shape.slice(0, -2))
  return { fanIn: window * shape[shape.length - 2], fanOut: window * shape[shape.length - 1] }
}

/** What a nonlinearity's spread is multiplied with to keep variances; `slope` is leakyRelu's below 0, default 0.01. */
export function gain(nonlinearity: Nonlinearity, slope = 0.01): number {
  expectOneOf('init.gain', 'nonlinearity', nonlinearity, nonlinearities)
  expectNumber('init.gain', 'slope', slope, -1e15, 1e15)
  if (nonlinearity === 'tanh') return 5 / 3
  if (nonlinearity === 'relu') return Math.SQRT2
  if (nonlinearity === 'leakyRelu') return Math.sqrt(2 / (1 + slope * slope))
  return nonlinearity === 'selu' ? 0.75 : 1
}

export interface XavierOptions {
  /** Default 1. */
  gain?: number
  /** Default: of the shape, by `fans`. */
  fanIn?: number
  fanOut?: number
  /** Default: the global generator. */
  random?: Random
}

/**
 * U[−b, b] with b = gain·√(6 / (fanIn + fanOut)).
 * Source: Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html, equation 16.
 */
export function xavierUniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  options: XavierOptions = {},
): tf.Tensor<R> {
  const bound = Math.sqrt(3) * xavierDeviation('init.xavierUniform', shape as number[], options)
  return uniform<R>(shape, -bound, bound, options.random)
}

/** N(0, gain²·2 / (fanIn + fanOut)). Source: as {@link xavierUniform}, equation 12. */
export function xavierNormal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  options: XavierOptions = {},
): tf.Tensor<R> {
  const deviation = xavierDeviation('init.xavierNormal', shape as number[], options)
  return normal<R>(shape, 0, deviation, options.random)
}

function xavierDeviation(operation: string, shape: number[], options: XavierOptions): number {
  const { fanIn = fans(shape).fanIn, fanOut = fans(shape).fanOut, gain = 1 } = options
  expectNumber(operation, 'gain', gain, 0, 1e15)
  expectNumber(operation, 'fanIn + fanOut', fanIn + fanOut, 1, Number.MAX_VALUE)
  return gain * Math.sqrt(2 / (fanIn + fanOut))
}

export interface KaimingOptions {
  /** 'fanIn' keeps variances on the way forward, 'fanOut' on the way back. Default 'fanIn'. */
  mode?: 'fanIn' | 'fanOut'
  /** Default 'leakyRelu'. */
  nonlinearity?: Nonlinearity
  /** leakyRelu's slope below 0. Default 0; PyTorch's layers start with √5. */
  slope?: number
  /** Default: of the shape, by `fans` and `mode`. */
  fan?: number
  /** Default: the global generator. */
  random?: Random
}

/**
 * U[−b, b] with b = gain·√(3 / fan).
 * Source: He et al. 2015, https://arxiv.org/abs/1502.01852, equation 14.
 */
export function kaimingUniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  options: KaimingOptions = {},
): tf.Tensor<R> {
  const bound = Math.sqrt(3) * kaimingDeviation('init.kaimingUniform', shape as number[], options)
  return uniform<R>(shape, -bound, bound, options.random)
}

/** N(0, gain² / fan). Source: as {@link kaimingUniform}. */
export function kaimingNormal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  options: KaimingOptions = {},
): tf.Tensor<R> {
  const deviation = kaimingDeviation('init.kaimingNormal', shape as number[], options)
  return normal<R>(shape, 0, deviation, options.random)
}

function kaimingDeviation(operation: string, shape: number[], options: KaimingOptions): number {
  const { mode = 'fanIn', nonlinearity = 'leakyRelu', slope = 0 } = options
  expectOneOf(operation, 'mode', mode, ['fanIn', 'fanOut'])
  const { fan = fans(shape)[mode] } = options
  expectNumber(operation, 'fan', fan, 1, Number.MAX_VALUE)
  return gain(nonlinearity, slope) / Math.sqrt(fan)
}

/**
 * A random matrix [all axes but the last, the last] with orthonormal rows or columns, whichever are fewer, times `gain`:
 * uniform among all such matrices.
 * Source: Saxe, McClelland, Ganguli 2013, https://arxiv.org/abs/1312.6120, section 3.
 */
export function orthogonal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  { gain = 1, random: generator = random }: { gain?: number; random?: Random } = {},
): tf.Tensor<R> {
  const sizes = shape as number[]
  const { length } = sizes
  expectShape(
    length >= 2,
    'init.orthogonal',
    'at least two axes',
    `shape [${sizes}]`,
    'Pass a weight’s shape.',
  )
  expectNumber('init.orthogonal', 'gain', gain, -1e15, 1e15)
  const columns = sizes[length - 1]
  const rows = sizeOf(sizes.slice(0, -1))
  const [count, width] = [Math.min(rows, columns), Math.max(rows, columns)]
  const vectors = orthonormal(count, width, generator)
  const values = empty(shape)
  for (let i = 0; i < count; i++)
    for (let j = 0; j < width; j++)
      values[rows <= columns ? i * columns + j : j * columns + i] = gain * vectors[i][j]
  return tf.tensor(values, shape)
}

function empty(shape: unknown): Float32Array {
  return new Float32Array(sizeOf(shape as number[]))
}
