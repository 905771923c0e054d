import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { groupNorm } from '../ops/group-norm.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'

export interface GroupNormLayerOptions {
  /** Divides numChannels. */
  numGroups: number
  numChannels: number
  /** Added to the variance, in [0, 1]. Default 1e-5. */
  epsilon?: number
  /** Whether channels are scaled and shifted by learned parameters. Default true. */
  affine?: boolean
}

/**
 * Group normalisation, x [B, ..., C] → the same shape: over the places and the channels of each group of each sample.
 * `weight` [C] starts as ones, `bias` [C] as zeros.
 * Throws VqConfigError for options out of range, VqShapeError for other shapes.
 * Source: Wu and He 2018, https://arxiv.org/abs/1803.08494, equations 1, 7 and 8.
 */
export class GroupNorm extends Layer {
  readonly weight: tf.Variable<tf.Rank.R1> | undefined
  readonly bias: tf.Variable<tf.Rank.R1> | undefined
  readonly numGroups: number
  readonly numChannels: number
  readonly epsilon: number

  constructor(options: GroupNormLayerOptions) {
    super()
    const { numGroups, numChannels, epsilon = 1e-5, affine = true } = optionsOf('GroupNorm', options)
    expectInteger('GroupNorm', 'numChannels', numChannels, 1)
    expectInteger('GroupNorm', 'numGroups', numGroups, 1)
    expectConfig(
      numChannels % numGroups === 0,
      'GroupNorm',
      `numGroups to divide numChannels (${numChannels})`,
      numGroups,
      'Choose a divisor.',
    )
    expectNumber('GroupNorm', 'epsilon', epsilon, 0, 1)
    this.numGroups = numGroups
    this.numChannels = numChannels
    this.epsilon = epsilon
    if (!affine) return
    this.weight = this.addParameter('weight', tf.ones<tf.Rank.R1>([numChannels]))
    this.bias = this.addParameter('bias', tf.zeros<tf.Rank.R1>([numChannels]))
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('GroupNorm.forward', x)
    expectShape(
      x.rank >= 2 && x.shape[x.rank - 1] === this.numChannels,
      'GroupNorm.forward',
      `a tensor [B, ..., ${this.numChannels}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass a tensor with that number of channels last.',
    )
    return groupNorm(x, this.numGroups, this.weight, this.bias, { epsilon: this.epsilon })
  }
}
