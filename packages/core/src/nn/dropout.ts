import type * as tf from '@tensorflow/tfjs-core'
import { expectNumber } from '../check.js'
import { dropout } from '../ops/random.js'
import type { Random } from '../random.js'
import { generatorState, loadGeneratorState } from './generator-state.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'

export interface DropoutLayerOptions {
  /** Probability with which an element becomes 0, in [0, 1]. Default 0.5. */
  rate?: number
  /** Draws what is dropped. Default: the global generator. */
  random?: Random
}

/** In training sets each element to 0 with probability `rate` and multiplies the others with 1/(1 − rate). */
export class Dropout extends Layer {
  readonly rate: number
  private readonly random: Random | undefined

  constructor(options: DropoutLayerOptions = {}) {
    super()
    const { rate = 0.5, random } = optionsOf('Dropout', options)
    expectNumber('Dropout', 'rate', rate, 0, 1)
    this.rate = rate
    this.random = random
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('Dropout.forward', x)
    return dropout(x, this.rate, {
      training: this.training,
      ...(this.random ? { generator: this.random } : {}),
    })
  }

  /** A generator of its own goes on where a checkpoint left it. */
  override extraState(): unknown {
    return generatorState(this.random, this.rate)
  }

  override loadExtraState(state: unknown): void {
    loadGeneratorState(this.random, state)
  }
}
