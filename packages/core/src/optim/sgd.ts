import * as tf from '@tensorflow/tfjs-core'
import { expectNumber } from '../check.js'
import type { Module } from '../nn/module.js'
import { Optimizer } from './optimizer.js'

export interface SGDOptions {
  learningRate: number
  /** Default 0. */
  momentum?: number
  /** Added to the gradient times the parameter. Default 0. */
  weightDecay?: number
}

/** Gradient descent, v ← momentum·v + g, p ← p − learningRate·v, as PyTorch's SGD without dampening. */
export class SGD extends Optimizer {
  private readonly momentum: number
  private readonly weightDecay: number
  private readonly velocity: tf.Variable[]

  constructor(module: Module, { learningRate, momentum = 0, weightDecay = 0 }: SGDOptions) {
    expectNumber('SGD', 'learningRate', learningRate, 0, Number.MAX_VALUE)
    expectNumber('SGD', 'momentum', momentum, 0, 1)
    expectNumber('SGD', 'weightDecay', weightDecay, 0, Number.MAX_VALUE)
    super(module, learningRate)
    this.momentum = momentum
    this.weightDecay = weightDecay
    this.velocity = momentum === 0 ? [] : this.addState('momentum_buffer')
  }

  protected apply(parameters: tf.Variable[], gradients: (tf.Tensor | null)[], scale: number): void {
    tf.tidy(() => {
      for (const [i, p] of parameters.entries()) {
        let g = gradients[i]
        if (g === null) continue
        if (scale !== 1) g = tf.mul(g, scale)
        if (this.weightDecay !== 0) g = tf.add(g, tf.mul(p, this.weightDecay))
        if (this.momentum !== 0) {
          this.velocity[i].assign(tf.add(tf.mul(this.velocity[i], this.momentum), g))
          g = this.velocity[i]
        }
        p.assign(tf.sub(p, tf.mul(g, this.learningRate)))
      }
    })
  }
}
