import { type Random, silu, tf } from '@vq/core'
import { Dropout, Linear, Module } from '@vq/core/nn'
import { type ActivationName, activated } from './activation.js'

export interface FeedForwardOptions {
  embedDim: number
  /** Width between the linear layers. */
  hiddenDim: number
  /** Default 'gelu'. */
  activation?: ActivationName
  /** Of what lies between the layers, in training. Default 0. */
  dropout?: number
  random?: Random
}

/** Two linear layers, `fc1` and `fc2`, with an activation between them: x [..., E] → [..., E]. */
export class FeedForward extends Module {
  readonly fc1: Linear
  readonly fc2: Linear
  readonly activation: ActivationName
  private readonly drop: Dropout

  constructor({ embedDim, hiddenDim, activation = 'gelu', dropout = 0, random }: FeedForwardOptions) {
    super()
    const generator = random === undefined ? {} : { random }
    this.activation = activation
    this.fc1 = this.addModule(
      'fc1',
      new Linear({ inFeatures: embedDim, outFeatures: hiddenDim, ...generator }),
    )
    this.fc2 = this.addModule(
      'fc2',
      new Linear({ inFeatures: hiddenDim, outFeatures: embedDim, ...generator }),
    )
    this.drop = this.addModule('drop', new Dropout({ rate: dropout, ...generator }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.tidy(() => this.fc2.forward(this.drop.forward(activated(this.fc1, x, this.activation))))
  }
}

/**
 * silu(x·G)·(x·U) and a linear layer behind it; `w12` [2·hidden, E] on disk holds G before U, `w3` is the last.
 * Source: Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6.
 */
export class SwiGLU extends Module {
  readonly w12: Linear
  readonly w3: Linear

  constructor({ embedDim, hiddenDim, random }: FeedForwardOptions) {
    super()
    const generator = random === undefined ? {} : { random }
    const doubled = { inFeatures: embedDim, outFeatures: 2 * hiddenDim, ...generator }
    this.w12 = this.addModule('w12', new Linear(doubled))
    this.w3 = this.addModule('w3', new Linear({ inFeatures: hiddenDim, outFeatures: embedDim, ...generator }))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const [gate, up] = tf.split(this.w12.forward(x), 2, -1)
      return this.w3.forward(tf.mul(silu(gate!), up!))
    })
  }
}
