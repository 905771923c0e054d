import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectShape } from '../check.js'
import { layerNorm } from '../ops/layer-norm.js'
import { Layer } from './layer.js'

export interface LayerNormLayerOptions {
  numFeatures: number
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
}

/**
 * Layer normalisation over the last axis, x [..., C] → [..., C], PyTorch's LayerNorm over one axis.
 * Source: Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, equations 3 and 4.
 */
export class LayerNorm extends Layer {
  readonly weight: tf.Variable<tf.Rank.R1>
  readonly bias: tf.Variable<tf.Rank.R1>
  readonly epsilon: number

  constructor({ numFeatures, epsilon = 1e-5 }: LayerNormLayerOptions) {
    super()
    expectInteger('LayerNorm', 'numFeatures', numFeatures, 1)
    expectNumber('LayerNorm', 'epsilon', epsilon, 0, 1)
    this.epsilon = epsilon
    this.weight = this.addParameter('weight', tf.ones<tf.Rank.R1>([numFeatures]))
    this.bias = this.addParameter('bias', tf.zeros<tf.Rank.R1>([numFeatures]))
  }

  forward(x: tf.Tensor): tf.Tensor {
    const features = this.weight.size
    expectShape(
      x.rank >= 1 && x.shape[x.rank - 1] === features,
      'LayerNorm.forward',
      `a tensor [..., ${features}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass vectors of that length.',
    )
    return layerNorm(x, this.weight, this.bias, { epsilon: this.epsilon })
  }
}
