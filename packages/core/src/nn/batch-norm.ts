import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectShape } from '../check.js'
import { batchNormInfer, batchNormTrain, followStatistics } from '../ops/batch-norm.js'
import type { ConvNorm } from '../ops/conv-norm.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'
import type { Counter } from './module.js'

export interface BatchNormOptions {
  numFeatures: number
  /** Added to the variance, in [0, 1]. Default 1e-5. */
  epsilon?: number
  /** Share of the new batch in the running statistics, in [0, 1]; null: they are the mean over all batches. Default 0.1. */
  momentum?: number | null
  /** Whether results are scaled and shifted by learned parameters. Default true. */
  affine?: boolean
  /** Whether statistics are kept for evaluation; else every batch is normalised by its own. Default true. */
  trackRunningStats?: boolean
}

/** What follows a normalisation. */
export interface AfterNorm {
  /** Default false. */
  relu?: boolean
  added?: tf.Tensor | undefined
}

/**
 * Batch normalisation over all axes but the last, x [..., C] → [..., C], PyTorch's BatchNorm1d/2d/3d: normalises by the
 * biased variance, keeps a running mean and a running unbiased variance for evaluation.
 * Throws VqConfigError for options out of range, VqShapeError for other shapes and for one value per channel in training.
 * Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1.
 */
export class BatchNorm extends Layer {
  readonly weight: tf.Variable<tf.Rank.R1> | undefined
  readonly bias: tf.Variable<tf.Rank.R1> | undefined
  readonly runningMean: tf.Variable<tf.Rank.R1> | undefined
  readonly runningVariance: tf.Variable<tf.Rank.R1> | undefined
  readonly batchesTracked: Counter | undefined
  readonly numFeatures: number
  readonly epsilon: number
  readonly momentum: number | null

  constructor(options: BatchNormOptions) {
    super()
    const {
      numFeatures,
      epsilon = 1e-5,
      momentum = 0.1,
      affine = true,
      trackRunningStats = true,
    } = optionsOf('BatchNorm', options)
    expectInteger('BatchNorm', 'numFeatures', numFeatures, 1)
    expectNumber('BatchNorm', 'epsilon', epsilon, 0, 1)
    if (momentum !== null) expectNumber('BatchNorm', 'momentum', momentum, 0, 1)
    this.numFeatures = numFeatures
    this.epsilon = epsilon
    this.momentum = momentum
    if (affine) {
      this.weight = this.addParameter('weight', tf.ones<tf.Rank.R1>([numFeatures]))
      this.bias = this.addParameter('bias', tf.zeros<tf.Rank.R1>([numFeatures]))
    }
    if (!trackRunningStats) return
    this.runningMean = this.addBuffer('running_mean', tf.zeros<tf.Rank.R1>([numFeatures]))
    this.runningVariance = this.addBuffer('running_var', tf.ones<tf.Rank.R1>([numFeatures]))
    this.batchesTracked = this.addCounter('num_batches_tracked')
  }

  /** With `added`, of x's shape, added to the result; with `relu`, the ReLU of that. One pass where the backend has it fused. */
  forward(x: tf.Tensor, { relu = false, added }: AfterNorm = {}): tf.Tensor {
    expectTensor('BatchNorm.forward', x)
    const { numFeatures, weight, bias } = this
    expectShape(
      x.rank >= 2 && x.shape[x.rank - 1] === numFeatures,
      'BatchNorm.forward',
      `a tensor [..., ${numFeatures}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass a tensor with that number of channels last.',
    )
    if (weight !== undefined && bias !== undefined) return this.normalise(x, weight, bias, { relu, added })
    return tf.tidy(() => this.normalise(x, tf.ones([numFeatures]), tf.zeros([numFeatures]), { relu, added }))
  }

  /** What evaluation normalises by, if it is given and learned. */
  get inference(): ConvNorm | undefined {
    const { weight: gamma, bias: beta, runningMean: mean, runningVariance: variance, epsilon } = this
    if (this.training || !gamma || !beta || !mean || !variance) return undefined
    return { gamma, beta, mean, variance, epsilon }
  }

  private normalise(x: tf.Tensor, scale: tf.Tensor1D, shift: tf.Tensor1D, after: AfterNorm): tf.Tensor {
    const { runningMean, runningVariance, batchesTracked, epsilon } = this
    if (!this.training && runningMean !== undefined && runningVariance !== undefined)
      return batchNormInfer(x, scale, shift, runningMean, runningVariance, { epsilon, ...after })
    const rows = x.size / this.numFeatures
    expectShape(
      rows > 1,
      'BatchNorm.forward',
      'more than one value per channel in training',
      `a tensor [${x.shape.join(', ')}]`,
      'Use a larger batch, or call eval() first.',
    )
    const { output, mean, variance } = batchNormTrain(x, scale, shift, { epsilon, ...after })
    if (runningMean !== undefined && runningVariance !== undefined && batchesTracked !== undefined) {
      batchesTracked.value++
      const share = this.momentum ?? 1 / batchesTracked.value
      const running = { mean: runningMean, variance: runningVariance }
      const next = followStatistics(running, { mean, variance }, { share, factor: rows / (rows - 1) })
      for (const of of ['mean', 'variance'] as const) {
        running[of].assign(next[of] as tf.Tensor1D)
        next[of].dispose()
      }
    }
    mean.dispose()
    variance.dispose()
    return output
  }
}
