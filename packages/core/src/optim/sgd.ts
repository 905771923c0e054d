import type * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectNumber } from '../check.js'
import type { Module } from '../nn/module.js'
import { sgdStep } from '../ops/sgd.js'
import { Optimizer } from './optimizer.js'

export interface SGDOptions {
  learningRate: number
  /** Default 0. */
  momentum?: number
  /** Added to the gradient times the parameter. Default 0. */
  weightDecay?: number
  /** Nesterov's form, p ← p − learningRate·(g + momentum·v); needs momentum. Default false. */
  nesterov?: boolean
}

/** Gradient descent, v ← momentum·v + g, p ← p − learningRate·v, as PyTorch's SGD without dampening. */
export class SGD extends Optimizer {
  private readonly momentum: number
  private readonly weightDecay: number
  private readonly nesterov: boolean
  private readonly velocity: tf.Variable[]

  constructor(module: Module, { learningRate, momentum = 0, weightDecay = 0, nesterov = false }: SGDOptions) {
    expectNumber('SGD', 'learningRate', learningRate, 0, Number.MAX_VALUE)
    expectNumber('SGD', 'momentum', momentum, 0, 1)
    expectNumber('SGD', 'weightDecay', weightDecay, 0, Number.MAX_VALUE)
    expectConfig(
      !nesterov || momentum > 0,
      'SGD',
      'momentum above 0 with nesterov',
      momentum,
      'Set momentum, 0.9 for example.',
    )
    super(module, learningRate)
    this.nesterov = nesterov
    this.momentum = momentum
    this.weightDecay = weightDecay
    this.velocity = momentum === 0 ? [] : this.addState('momentum_buffer')
  }

  protected apply(parameters: tf.Variable[], gradients: (tf.Tensor | null)[], gradientScale: number): void {
    const { learningRate, momentum, nesterov, weightDecay } = this
    const options = { learningRate, momentum, nesterov, weightDecay, gradientScale }
    sgdStep(parameters, gradients, this.velocity, options)
  }
}
