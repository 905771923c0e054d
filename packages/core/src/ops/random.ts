import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectNumber } from '../check.js'
import { Random, type RandomBlocks, random } from '../random.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

export interface RandomOptions {
  /** Where the numbers come from; whole blocks are reserved. Default: the global generator. */
  generator?: Random
}

/** As the native core numbers them. */
export const distributions = ['uniform', 'normal', 'truncated normal', 'bernoulli'] as const

/** What kernels are told. */
export interface RandomAttributes {
  shape: number[]
  distribution: (typeof distributions)[number]
  a: number
  b: number
  blocks: RandomBlocks
}

/** Uniform float32 numbers low + (high − low)·u, u being 24 random bits in [0, 1). */
export function randomUniform(shape: number[], low = 0, high = 1, options: RandomOptions = {}): tf.Tensor {
  expectNumber('randomUniform', 'low', low, -Number.MAX_VALUE, Number.MAX_VALUE)
  expectNumber('randomUniform', 'high', high, low, Number.MAX_VALUE)
  return fill('uniform', shape, low, high, options)
}

/**
 * Normal float32 numbers; their largest distance from the mean is 5.77 deviations.
 * Source: Box and Muller 1958, https://doi.org/10.1214/aoms/1177706645.
 */
export function randomNormal(
  shape: number[],
  mean = 0,
  deviation = 1,
  options: RandomOptions = {},
): tf.Tensor {
  expectNumber('randomNormal', 'mean', mean, -Number.MAX_VALUE, Number.MAX_VALUE)
  expectNumber('randomNormal', 'deviation', deviation, 0, Number.MAX_VALUE)
  return fill('normal', shape, mean, deviation, options)
}

/** Normal float32 numbers given that they lie within two deviations of the mean. */
export function truncatedNormal(
  shape: number[],
  mean = 0,
  deviation = 1,
  options: RandomOptions = {},
): tf.Tensor {
  expectNumber('truncatedNormal', 'mean', mean, -Number.MAX_VALUE, Number.MAX_VALUE)
  expectNumber('truncatedNormal', 'deviation', deviation, 0, Number.MAX_VALUE)
  return fill('truncated normal', shape, mean, deviation, options)
}

/** 1 with the given probability, else 0; float32. */
export function bernoulli(shape: number[], probability: number, options: RandomOptions = {}): tf.Tensor {
  expectNumber('bernoulli', 'probability', probability, 0, 1)
  return fill('bernoulli', shape, probability, 0, options)
}

export interface DropoutOptions extends RandomOptions {
  /** Draws from the start of this seed instead of from a generator: the same mask at every call. */
  seed?: number
  /** Without it x comes back as it is. Default true. */
  training?: boolean
}

/**
 * Sets each element to 0 with probability `rate`, in [0, 1], and multiplies the others with 1/(1 − rate). x: any shape,
 * float32; differentiable: the gradient draws the same mask again from the generator's counter.
 * Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html, in its inverted form.
 */
export function dropout(
  x: tf.Tensor,
  rate: number,
  { generator, seed, training = true }: DropoutOptions = {},
): tf.Tensor {
  expectNumber('dropout', 'rate', rate, 0, 1)
  expectConfig(
    generator === undefined || seed === undefined,
    'dropout',
    'a generator or a seed',
    seed,
    'Leave one of them out.',
  )
  expectFloat32('dropout', x)
  if (!training || rate === 0) return tf.clone(x)
  if (rate > 1 - 2 ** -24) return tf.mul(x, 0)
  const source = seed === undefined ? (generator ?? random) : new Random(seed)
  const blocks = source.reserve(Math.ceil(x.size / 4))
  if (hasKernel('VqDropout')) return runKernel('VqDropout', { x }, { rate, blocks })
  return tf.tidy(() => tf.mul(x, tf.tensor(keptFactors(blocks, x.size, rate), x.shape)))
}

/** 0 or 1/(1 − rate) for each of `count` words from the start of `blocks`. */
export function keptFactors(blocks: RandomBlocks, count: number, rate: number): Float32Array {
  const drawn = Random.at(blocks)
  const keep = 1 / (1 - rate)
  return Float32Array.from({ length: count }, () => ((drawn.bits() >>> 8) * 2 ** -24 >= rate ? keep : 0))
}

function fill(
  distribution: RandomAttributes['distribution'],
  shape: number[],
  a: number,
  b: number,
  { generator = random }: RandomOptions,
): tf.Tensor {
  const size = tf.util.sizeFromShape(shape)
  const attrs: RandomAttributes = {
    shape,
    distribution,
    a,
    b,
    blocks: generator.reserve(Math.ceil(size / 4)),
  }
  if (hasKernel('VqRandom')) return runKernel('VqRandom', {}, { ...attrs })
  const drawn = Random.at(attrs.blocks)
  const next = (): number => drawn.bits() >>> 8
  const values = new Float32Array(size)
  for (let i = 0; i < size; i++) {
    if (distribution === 'uniform') values[i] = a + (b - a) * next() * 2 ** -24
    else if (distribution === 'bernoulli') values[i] = next() * 2 ** -24 < a ? 1 : 0
    else if (distribution === 'truncated normal') values[i] = a + b * cutNormal((next() + 0.5) * 2 ** -24)
    else {
      const radius = Math.sqrt(-2 * Math.log((next() + 1) * 2 ** -24))
      const angle = 2 * Math.PI * next() * 2 ** -24
      values[i] = a + b * radius * Math.cos(angle)
      if (++i < size) values[i] = a + b * radius * Math.sin(angle)
    }
  }
  return tf.tensor(values, shape)
}

// Quantile of the standard normal distribution cut at ±2. Giles 2010, "Approximating the erfinv function", table 5.
function cutNormal(u: number): number {
  const x = (2 * u - 1) * 0.9544997361036416
  const t = -Math.log(1 - x * x) - 2.5
  const coefficients = [
    2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
  ] // biome-ignore format: nine numbers
  const p = coefficients.reduce((sum, c) => sum * t + c, 0)
  return Math.max(-2, Math.min(2, Math.SQRT2 * p * x))
}

tf.registerGradient({
  kernelName: 'VqDropout',
  gradFunc: (dy, _, attrs) => ({ x: () => runKernel('VqDropout', { x: dy as tf.Tensor }, attrs as never) }),
})
