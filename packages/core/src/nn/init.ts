import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { type Random, random } from '../random.js'

/** U[low, high], float32 of shape `shape`. */
export function uniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  low: number,
  high: number,
  generator: Random = random,
): tf.Tensor<R> {
  return tf.tensor(generator.fillUniform(new Float32Array(sizeOf(shape as number[])), low, high), shape)
}

/** N(mean, deviation²), float32 of shape `shape`. */
export function normal<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  mean = 0,
  deviation = 1,
  generator: Random = random,
): tf.Tensor<R> {
  return tf.tensor(generator.fillNormal(new Float32Array(sizeOf(shape as number[])), mean, deviation), shape)
}

/**
 * U[−b, b] with b = √(6 / ((1 + a²)·fanIn)). With a = √5, the default, b = 1/√fanIn: PyTorch's start of linear and
 * convolution weights.
 * Source: He et al. 2015, https://arxiv.org/abs/1502.01852, equation 14.
 */
export function kaimingUniform<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  fanIn: number,
  generator: Random = random,
  a: number = Math.sqrt(5),
): tf.Tensor<R> {
  const bound = Math.sqrt(6 / ((1 + a * a) * fanIn))
  return uniform<R>(shape, -bound, bound, generator)
}
