import type * as tf from '@tensorflow/tfjs-core'
import { expectNumber } from '../check.js'
import { adamStep } from '../ops/adam.js'
import { Optimizer, type Trainable } from './optimizer.js'

export interface AdamOptions {
  /** Default 1e-3. */
  learningRate?: number
  /** Decay of the first moment. Default 0.9. */
  beta1?: number
  /** Decay of the second moment. Default 0.999. */
  beta2?: number
  /** Default 1e-8. */
  epsilon?: number
  /** Default 0 (AdamW: 0.01). */
  weightDecay?: number
}

/**
 * Adam, as PyTorch's: weight decay is added to the gradient.
 * Source: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1.
 */
export class Adam extends Optimizer<Required<AdamOptions>> {
  private readonly m: tf.Variable[]
  private readonly v: tf.Variable[]
  protected readonly decoupled: boolean = false

  constructor(trainable: Trainable<AdamOptions>, options: AdamOptions = {}) {
    super(trainable, options, settle)
    this.m = this.addState('exp_avg')
    this.v = this.addState('exp_avg_sq')
  }

  protected apply(
    settings: Required<AdamOptions>,
    at: readonly number[],
    gradients: readonly tf.Tensor[],
    gradientScale: number,
    count: number,
  ): void {
    const { parameters, m, v, decoupled } = this
    const pick = <T>(list: readonly T[]): T[] => at.map(i => list[i])
    const options = { ...settings, step: count, decoupled, gradientScale }
    adamStep(pick(parameters), pick(gradients), { m: pick(m), v: pick(v) }, options)
  }
}

/**
 * Adam with weight decay apart from the gradient.
 * Source: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2.
 */
export class AdamW extends Adam {
  protected override readonly decoupled: boolean = true

  constructor(trainable: Trainable<AdamOptions>, options: AdamOptions = {}) {
    super(trainable, { weightDecay: 0.01, ...options })
  }
}

function settle(options: Partial<AdamOptions>): Required<AdamOptions> {
  const { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options
  expectNumber('Adam', 'learningRate', learningRate, 0, Number.MAX_VALUE)
  expectNumber('Adam', 'beta1', beta1, 0, 1 - 1e-9)
  expectNumber('Adam', 'beta2', beta2, 0, 1 - 1e-9)
  expectNumber('Adam', 'epsilon', epsilon, 0, 1)
  expectNumber('Adam', 'weightDecay', weightDecay, 0, Number.MAX_VALUE)
  return { learningRate, beta1, beta2, epsilon, weightDecay }
}
