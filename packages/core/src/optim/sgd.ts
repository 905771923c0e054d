import type * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectNumber } from '../check.js'
import { sgdStep } from '../ops/sgd.js'
import { Optimizer, type Trainable } from './optimizer.js'

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
export class SGD extends Optimizer<Required<SGDOptions>> {
  private readonly velocity: tf.Variable[]

  constructor(trainable: Trainable<SGDOptions>, options: SGDOptions) {
    super(trainable, options, settle)
    this.velocity = this.groups.some(g => g.settings.momentum > 0) ? this.addState('momentum_buffer') : []
  }

  protected apply(
    settings: Required<SGDOptions>,
    at: readonly number[],
    gradients: readonly tf.Tensor[],
    gradientScale: number,
  ): void {
    const { parameters, velocity } = this
    const pick = <T>(list: readonly T[]): T[] => at.map(i => list[i])
    const velocities = settings.momentum > 0 ? pick(velocity) : []
    sgdStep(pick(parameters), pick(gradients), velocities, { ...settings, gradientScale })
  }
}

function settle(options: Partial<SGDOptions>): Required<SGDOptions> {
  const { learningRate, momentum = 0, weightDecay = 0, nesterov = false } = options
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
  return { learningRate, momentum, weightDecay, nesterov }
}
