import type * as tf from '@tensorflow/tfjs-core'
import { expectNumber } from '../check.js'
import type { Module } from '../nn/module.js'
import { type AdamState, adamStep } from '../ops/adam.js'
import { Optimizer } from './optimizer.js'

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
export class Adam extends Optimizer {
  private readonly options: Required<Omit<AdamOptions, 'learningRate'>>
  private readonly state: AdamState
  protected readonly decoupled: boolean = false

  constructor(module: Module, options: AdamOptions = {}) {
    const { learningRate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options
    expectNumber('Adam', 'learningRate', learningRate, 0, Number.MAX_VALUE)
    expectNumber('Adam', 'beta1', beta1, 0, 1 - 1e-9)
    expectNumber('Adam', 'beta2', beta2, 0, 1 - 1e-9)
    expectNumber('Adam', 'epsilon', epsilon, 0, 1)
    expectNumber('Adam', 'weightDecay', weightDecay, 0, Number.MAX_VALUE)
    super(module, learningRate)
    this.options = { beta1, beta2, epsilon, weightDecay }
    this.state = { m: this.addState('exp_avg'), v: this.addState('exp_avg_sq') }
  }

  protected apply(parameters: tf.Variable[], gradients: (tf.Tensor | null)[], gradientScale: number): void {
    const { learningRate, steps: step, decoupled } = this
    adamStep(parameters, gradients, this.state, {
      ...this.options,
      learningRate,
      step,
      decoupled,
      gradientScale,
    })
  }
}

/**
 * Adam with weight decay apart from the gradient.
 * Source: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2.
 */
export class AdamW extends Adam {
  protected override readonly decoupled: boolean = true

  constructor(module: Module, options: AdamOptions = {}) {
    super(module, { weightDecay: 0.01, ...options })
  }
}
