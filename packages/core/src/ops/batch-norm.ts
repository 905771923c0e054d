import * as tf from '@tensorflow/tfjs-core'

export interface BatchNormOptions {
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
  /** Apply ReLU to the result. Default false. */
  relu?: boolean
}

export interface BatchNormTrainResult {
  /** Shape of x. */
  output: tf.Tensor
  /** [C], mean over all axes but the last. Carries no gradient. */
  mean: tf.Tensor1D
  /** [C], biased variance over all axes but the last. Carries no gradient. */
  variance: tf.Tensor1D
}

/**
 * Batch normalisation with the batch's own statistics over all axes but the last; differentiable in x, gamma, beta.
 * x: [..., C]; gamma, beta: [C].
 * Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1.
 */
export function batchNormTrain(
  x: tf.Tensor,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  { epsilon = 1e-5, relu = false }: BatchNormOptions = {},
): BatchNormTrainResult {
  const axes = x.shape.slice(0, -1).map((_, i) => i)
  const mean = tf.mean(x, axes) as tf.Tensor1D
  const centred = tf.sub(x, mean)
  const variance = tf.mean(tf.square(centred), axes) as tf.Tensor1D
  const y = tf.add(tf.mul(centred, tf.mul(gamma, tf.rsqrt(tf.add(variance, epsilon)))), beta)
  return { output: relu ? tf.relu(y) : y, mean, variance }
}

/** Batch normalisation with given statistics, as in evaluation. mean, variance: [C]. */
export function batchNormInfer(
  x: tf.Tensor,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  mean: tf.Tensor1D,
  variance: tf.Tensor1D,
  { epsilon = 1e-5, relu = false }: BatchNormOptions = {},
): tf.Tensor {
  return tf.tidy(() => {
    const scale = tf.mul(gamma, tf.rsqrt(tf.add(variance, epsilon)))
    const y = tf.add(tf.mul(x, scale), tf.sub(beta, tf.mul(mean, scale)))
    return relu ? tf.relu(y) : y
  })
}
