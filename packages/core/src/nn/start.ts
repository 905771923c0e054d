import type * as tf from '@tensorflow/tfjs-core'
import type { Random } from '../random.js'
import { uniform } from './init.js'

/** U[−1/√fanIn, 1/√fanIn]: where PyTorch starts the weights and biases of linear and convolution layers. */
export function likeTorch<R extends tf.Rank>(
  shape: tf.ShapeMap[R],
  fanIn: number,
  random?: Random,
): tf.Tensor<R> {
  const bound = 1 / Math.sqrt(fanIn)
  return uniform<R>(shape, -bound, bound, random)
}
