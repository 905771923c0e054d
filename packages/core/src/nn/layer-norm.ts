import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { expectConfig, expectNumber, expectShape } from '../check.js'
import { layerNorm } from '../ops/layer-norm.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'
import { featureMapLayout } from './layout.js'

export interface LayerNormLayerOptions {
  /** Length of the last axis: short for `normalizedShape: [numFeatures]`. */
  numFeatures?: number
  /** Sizes of the last axes, over all of which together each sample is normalised. */
  normalizedShape?: number | readonly number[]
  /** Added to the variance, in [0, 1]. Default 1e-5. */
  epsilon?: number
  /** Whether results are scaled and shifted by learned parameters. Default true. */
  affine?: boolean
  /** Whether `affine` shifts. Default true. */
  bias?: boolean
  /** Whether normalizedShape is a feature map [..., C], which PyTorch stores as [C, ...]. Default false. */
  featureMap?: boolean
}

/**
 * Layer normalisation over the last axes, x [..., ...normalizedShape] → the same shape, PyTorch's LayerNorm. `weight` starts
 * as ones, `bias` as zeros. Throws VqConfigError for options out of range, VqShapeError for other shapes.
 * Source: Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, equations 3 and 4.
 */
export class LayerNorm extends Layer {
  /** Of normalizedShape. */
  readonly weight: tf.Variable | undefined
  /** Of normalizedShape. */
  readonly bias: tf.Variable | undefined
  readonly normalizedShape: readonly number[]
  readonly epsilon: number

  constructor(options: LayerNormLayerOptions) {
    super()
    const { numFeatures, normalizedShape = numFeatures, epsilon = 1e-5 } = optionsOf('LayerNorm', options)
    const { affine = true, bias = true, featureMap = false } = options
    const given: unknown = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
    expectConfig(
      Array.isArray(given) && given.length > 0 && given.every(n => Number.isSafeInteger(n) && n >= 1),
      'LayerNorm',
      'numFeatures or normalizedShape to be whole numbers of at least 1',
      normalizedShape,
      'Pass the sizes of the axes to normalise over.',
    )
    expectNumber('LayerNorm', 'epsilon', epsilon, 0, 1)
    const shape = given as number[]
    this.normalizedShape = [...shape]
    this.epsilon = epsilon
    const layout = featureMap ? featureMapLayout(shape.length) : undefined
    if (affine) this.weight = this.addParameter('weight', tf.ones(shape), layout)
    if (affine && bias) this.bias = this.addParameter('bias', tf.zeros(shape), layout)
  }

  forward(x: tf.Tensor): tf.Tensor {
    expectTensor('LayerNorm.forward', x)
    const { normalizedShape, weight, bias, epsilon } = this
    const lead = x.rank - normalizedShape.length
    expectShape(
      lead >= 0 && normalizedShape.every((n, i) => x.shape[lead + i] === n),
      'LayerNorm.forward',
      `a tensor [..., ${normalizedShape.join(', ')}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass vectors of that length.',
    )
    if (normalizedShape.length === 1)
      return layerNorm(x, weight as tf.Tensor1D | undefined, bias as tf.Tensor1D | undefined, { epsilon })
    return tf.tidy(() => {
      const size = sizeOf(normalizedShape)
      const flat = (t: tf.Tensor | undefined): tf.Tensor1D | undefined => t && tf.reshape(t, [size])
      const rows = tf.reshape(x, [...x.shape.slice(0, lead), size])
      return tf.reshape(layerNorm(rows, flat(weight), flat(bias), { epsilon }), x.shape)
    })
  }
}
