import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { detach } from './detach.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel, runKernels } from './kernel.js'
import { noGrad } from './no-grad.js'

export interface BatchNormOptions {
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
  /** Apply ReLU to the result. Default false. */
  relu?: boolean
  /** A tensor of x's shape, added before the ReLU; differentiable. */
  added?: tf.Tensor | undefined
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
  { epsilon = 1e-5, relu = false, added }: BatchNormOptions = {},
): BatchNormTrainResult {
  expectArguments('batchNormTrain', x, [gamma, beta], epsilon, added)
  expectShape(
    x.size > 0,
    'batchNormTrain',
    'at least one row to take statistics of',
    `x [${x.shape}]`,
    'Leave empty batches out, or use batchNormInfer.',
  )
  if (added !== undefined && !(relu && hasKernel('VqBatchNormAddTrain'))) {
    const { output, ...moments } = batchNormTrain(x, gamma, beta, { epsilon })
    return { output: addedTo(output, added, relu), ...moments }
  }
  if (added !== undefined) {
    const [output, mean, variance] = runKernels('VqBatchNormAddTrain', { x, gamma, beta, added }, { epsilon })
    return { output, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
  }
  if (hasKernel('VqBatchNormTrain')) {
    const [output, mean, variance] = runKernels('VqBatchNormTrain', { x, gamma, beta }, { epsilon, relu })
    return { output, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
  }
  const axes = x.shape.slice(0, -1).map((_, i) => i)
  const [output, mean, variance] = tf.tidy(() => {
    const mean = tf.mean(x, axes)
    const centred = tf.sub(x, mean)
    const variance = tf.mean(tf.square(centred), axes)
    const y = tf.add(tf.mul(centred, tf.mul(gamma, tf.rsqrt(tf.add(variance, epsilon)))), beta)
    return [relu ? tf.relu(y) : y, detach(mean), detach(variance)]
  })
  return { output, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D }
}

/** A mean and a variance per channel, [C]. */
export interface ChannelStatistics {
  mean: tf.Tensor
  variance: tf.Tensor
}

/**
 * Running statistics after another batch, [C]: (1 − share) of what they were and `share` of the batch's, whose variance is
 * multiplied by `factor`. Carries no gradient.
 * Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 2 (there as means over batches).
 */
export function followStatistics(
  running: ChannelStatistics,
  batch: ChannelStatistics,
  { share, factor = 1 }: { share: number; factor?: number },
): ChannelStatistics {
  return noGrad(() => {
    if (hasKernel('VqBatchNormFollow')) {
      const inputs = { ...running, batchMean: batch.mean, batchVariance: batch.variance }
      const [mean, variance] = runKernels('VqBatchNormFollow', inputs, { share, factor })
      return { mean, variance }
    }
    const next = (of: keyof ChannelStatistics, part: number): tf.Tensor =>
      tf.tidy(() => tf.add(tf.mul(running[of], 1 - share), tf.mul(batch[of], part)))
    return { mean: next('mean', share), variance: next('variance', share * factor) }
  })
}

/** Batch normalisation with given statistics, as in evaluation. mean, variance: [C]. Not differentiable in them. */
export function batchNormInfer(
  x: tf.Tensor,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  mean: tf.Tensor1D,
  variance: tf.Tensor1D,
  { epsilon = 1e-5, relu = false, added }: BatchNormOptions = {},
): tf.Tensor {
  expectArguments('batchNormInfer', x, [gamma, beta, mean, variance], epsilon, added)
  if (added !== undefined)
    return addedTo(batchNormInfer(x, gamma, beta, mean, variance, { epsilon }), added, relu)
  if (hasKernel('VqBatchNormInfer'))
    return runKernel('VqBatchNormInfer', { x, gamma, beta, mean, variance }, { epsilon, relu })
  return tf.tidy(() => {
    const scale = tf.mul(gamma, tf.rsqrt(tf.add(detach(variance), epsilon)))
    const y = tf.add(tf.mul(tf.sub(x, detach(mean)), scale), beta)
    return relu ? tf.relu(y) : y
  })
}

/** The normalised rows, which are disposed, and what is added to them. */
function addedTo(normal: tf.Tensor, added: tf.Tensor, relu: boolean): tf.Tensor {
  const sum = tf.add(normal, added)
  const y = relu ? tf.relu(sum) : sum
  tf.dispose(relu ? [normal, sum] : [normal])
  return y
}

function expectArguments(
  operation: string,
  x: tf.Tensor,
  parameters: tf.Tensor[],
  epsilon: number,
  added: tf.Tensor | undefined,
): void {
  const channels = x.shape[x.rank - 1]
  expectShape(
    x.rank >= 1 && parameters.every(p => p.rank === 1 && p.shape[0] === channels),
    operation,
    'x [..., C] and parameters [C]',
    `x [${x.shape}], parameters ${parameters.map(p => `[${p.shape}]`).join(', ')}`,
    'Channels are the last axis.',
  )
  expectNumber(operation, 'epsilon', epsilon, 0, Number.MAX_VALUE)
  expectFloat32(operation, x, ...parameters)
  if (added === undefined) return
  expectFloat32(operation, added)
  expectShape(
    added.rank === x.rank && added.shape.every((d, i) => d === x.shape[i]),
    operation,
    `something to add of x's shape [${x.shape}]`,
    `[${added.shape}]`,
    'Pass what has as many places and channels.',
  )
}

tf.registerGradient({
  kernelName: 'VqBatchNormTrain',
  inputsToSave: ['x', 'gamma', 'beta'],
  outputsToSave: [false, true, true],
  gradFunc: (dys, saved, attrs) => {
    const [x, gamma, beta, mean, variance] = saved
    const dy = (dys as tf.Tensor[])[0]
    // Not inside the functions: the tape runs each in a tidy of its own, and one kernel gives all three.
    const [dx, dgamma, dbeta] = runKernels(
      'VqBatchNormTrainGrad',
      { x, gamma, beta, mean, variance, dy },
      attrs as never,
    )
    return { x: () => dx, gamma: () => dgamma, beta: () => dbeta }
  },
})

tf.registerGradient({
  kernelName: 'VqBatchNormAddTrain',
  inputsToSave: ['x', 'gamma', 'beta'],
  outputsToSave: [true, true, true],
  gradFunc: (dys, saved, attrs) => {
    const [x, gamma, beta, y, mean, variance] = saved
    const dy = (dys as tf.Tensor[])[0]
    const [dx, dgamma, dbeta, dadded] = runKernels(
      'VqBatchNormAddTrainGrad',
      { x, gamma, beta, mean, variance, y, dy },
      attrs as never,
    )
    return { x: () => dx, gamma: () => dgamma, beta: () => dbeta, added: () => dadded }
  },
})

tf.registerGradient({
  kernelName: 'VqBatchNormInfer',
  inputsToSave: ['x', 'gamma', 'beta', 'mean', 'variance'],
  gradFunc: (dys, saved, attrs) => {
    const [x, gamma, beta, mean, variance] = saved as [tf.Tensor, ...tf.Tensor1D[]]
    const { epsilon, relu } = attrs as unknown as Required<BatchNormOptions>
    const inverse = tf.rsqrt(tf.add(variance, epsilon))
    const normal = tf.mul(tf.sub(x, mean), inverse)
    let dy = dys as tf.Tensor
    if (relu) dy = tf.mul(dy, tf.cast(tf.greater(tf.add(tf.mul(normal, gamma), beta), 0), 'float32'))
    const axes = x.shape.slice(0, -1).map((_, i) => i)
    return {
      x: () => tf.mul(dy, tf.mul(gamma, inverse)),
      gamma: () => tf.sum(tf.mul(dy, normal), axes),
      beta: () => tf.sum(dy, axes),
      mean: () => tf.zerosLike(mean),
      variance: () => tf.zerosLike(variance),
    }
  },
})
