import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectShape } from '../check.js'
import { batchNormInfer, batchNormTrain } from '../ops/batch-norm.js'
import { noGrad } from '../ops/no-grad.js'
import { Layer } from './layer.js'
import type { Counter } from './module.js'

export interface BatchNormOptions {
  numFeatures: number
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
  /** Share of the new batch in the running statistics. Default 0.1. */
  momentum?: number
}

/**
 * Batch normalisation over all axes but the last, x [..., C] → [..., C], PyTorch's BatchNorm1d/2d/3d: normalises by the
 * biased variance, keeps a running mean and a running unbiased variance for evaluation.
 * Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1.
 */
export class BatchNorm extends Layer {
  readonly weight: tf.Variable<tf.Rank.R1>
  readonly bias: tf.Variable<tf.Rank.R1>
  readonly runningMean: tf.Variable<tf.Rank.R1>
  readonly runningVariance: tf.Variable<tf.Rank.R1>
  readonly batchesTracked: Counter
  readonly epsilon: number
  readonly momentum: number

  constructor({ numFeatures, epsilon = 1e-5, momentum = 0.1 }: BatchNormOptions) {
    super()
    expectInteger('BatchNorm', 'numFeatures', numFeatures, 1)
    expectNumber('BatchNorm', 'epsilon', epsilon, 0, 1)
    expectNumber('BatchNorm', 'momentum', momentum, 0, 1)
    this.epsilon = epsilon
    this.momentum = momentum
    this.weight = this.addParameter('weight', tf.ones<tf.Rank.R1>([numFeatures]))
    this.bias = this.addParameter('bias', tf.zeros<tf.Rank.R1>([numFeatures]))
    this.runningMean = this.addBuffer('running_mean', tf.zeros<tf.Rank.R1>([numFeatures]))
    this.runningVariance = this.addBuffer('running_var', tf.ones<tf.Rank.R1>([numFeatures]))
    this.batchesTracked = this.addCounter('num_batches_tracked')
  }

  /** With `relu`, the ReLU of the result, in one pass where the backend has it fused. */
  forward(x: tf.Tensor, { relu = false }: { relu?: boolean } = {}): tf.Tensor {
    const channels = this.weight.size
    const rows = x.size / channels
    expectShape(
      x.rank >= 2 && x.shape[x.rank - 1] === channels,
      'BatchNorm.forward',
      `a tensor [..., ${channels}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass a tensor with that number of channels last.',
    )
    const { weight, bias, runningMean, runningVariance, epsilon } = this
    if (!this.training)
      return batchNormInfer(x, weight, bias, runningMean, runningVariance, { epsilon, relu })
    expectShape(
      rows > 1,
      'BatchNorm.forward',
      'more than one value per channel in training',
      `a tensor [${x.shape.join(', ')}]`,
      'Use a larger batch, or call eval() first.',
    )
    const { output, mean, variance } = batchNormTrain(x, weight, bias, { epsilon, relu })
    noGrad(() => {
      follow(runningMean, mean, this.momentum, 1)
      follow(runningVariance, variance, this.momentum, rows / (rows - 1))
    })
    mean.dispose()
    variance.dispose()
    this.batchesTracked.value++
    return output
  }
}

function follow(running: tf.Variable, batch: tf.Tensor, momentum: number, scale: number): void {
  tf.tidy(() => running.assign(tf.add(tf.mul(running, 1 - momentum), tf.mul(batch, momentum * scale))))
}
