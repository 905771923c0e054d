import type * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectShape } from '../check.js'
import type { Activation } from '../ops/activation.js'
import { linear } from '../ops/linear.js'
import type { Random } from '../random.js'
import { kaimingUniform } from './init.js'
import { Layer } from './layer.js'
import { linearLayout } from './layout.js'

export interface LinearOptions {
  inFeatures: number
  outFeatures: number
  /** Default true. */
  bias?: boolean
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/** x [..., in] → x·W + b [..., out]. `weight` is [in, out] in memory, [out, in] on disk. */
export class Linear extends Layer {
  readonly weight: tf.Variable<tf.Rank.R2>
  readonly bias: tf.Variable<tf.Rank.R1> | undefined

  constructor({ inFeatures, outFeatures, bias = true, random }: LinearOptions) {
    super()
    expectInteger('Linear', 'inFeatures', inFeatures, 1)
    expectInteger('Linear', 'outFeatures', outFeatures, 1)
    const weight = kaimingUniform<tf.Rank.R2>([inFeatures, outFeatures], inFeatures, random)
    this.weight = this.addParameter('weight', weight, linearLayout)
    this.bias = bias
      ? this.addParameter('bias', kaimingUniform<tf.Rank.R1>([outFeatures], inFeatures, random))
      : undefined
  }

  /** `activation` is applied to the result, in one pass where the backend has it fused. */
  forward(x: tf.Tensor, { activation = 'linear' }: { activation?: Activation } = {}): tf.Tensor {
    const [inFeatures] = this.weight.shape
    expectShape(
      x.rank >= 1 && x.shape[x.rank - 1] === inFeatures,
      'Linear.forward',
      `a tensor [..., ${inFeatures}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass vectors of that length.',
    )
    return linear(x, this.weight, this.bias, activation)
  }
}
