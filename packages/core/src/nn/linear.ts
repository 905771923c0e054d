import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { expectConfig, expectInteger, expectOneOf, expectShape } from '../check.js'
import { type Activation, activations, composedActivation } from '../ops/activation.js'
import { linear } from '../ops/linear.js'
import type { Random } from '../random.js'
import { expectTensor, optionsOf } from './given.js'
import { Layer } from './layer.js'
import { flattenedLayout, flattenedLinearLayout, type Layout, linearLayout } from './layout.js'
import { likeTorch } from './start.js'

export interface LinearOptions {
  inFeatures: number
  outFeatures: number
  /** Default true. */
  bias?: boolean
  /**
   * [H, W, C] or [D, H, W, C] of the feature map that was flattened into the inputs. PyTorch flattens channels before
   * places; with this the layer is stored that way and reads PyTorch's weights.
   */
  flattenedFrom?: readonly number[]
  /** [H, W, C] or [D, H, W, C] of the feature map into which the outputs are unflattened, likewise. */
  unflattenedTo?: readonly number[]
  /** A parameter [out, in] of another module to share, as the table of an Embedding, instead of a weight of its own. */
  tiedWeight?: tf.Variable<tf.Rank.R2>
  /** Draws the initial weights. Default: the global generator. */
  random?: Random
}

/**
 * x [..., in] → x·W + b [..., out]. `weight` is [in, out] in memory, [out, in] on disk (a tied one is [out, in] in both);
 * it and the bias start in ±1/√in. Throws VqConfigError for options out of range, VqShapeError for other shapes.
 *
 * @example
 * // After Flatten of a feature map [B, 4, 4, 32]; its file is what PyTorch writes.
 * new Linear({ inFeatures: 512, outFeatures: 10, flattenedFrom: [4, 4, 32] })
 */
export class Linear extends Layer {
  /** [in, out]; where tied, [out, in]. */
  readonly weight: tf.Variable<tf.Rank.R2>
  /** [out] */
  readonly bias: tf.Variable<tf.Rank.R1> | undefined
  readonly inFeatures: number
  readonly outFeatures: number
  private readonly tied: boolean

  constructor(options: LinearOptions) {
    super()
    const { inFeatures, outFeatures, bias = true, tiedWeight, random } = optionsOf('Linear', options)
    expectInteger('Linear', 'inFeatures', inFeatures, 1)
    expectInteger('Linear', 'outFeatures', outFeatures, 1)
    this.inFeatures = inFeatures
    this.outFeatures = outFeatures
    this.tied = tiedWeight !== undefined
    const { weight, vector } = layoutsOf(options)
    this.weight =
      tiedWeight === undefined
        ? this.addParameter(
            'weight',
            likeTorch<tf.Rank.R2>([inFeatures, outFeatures], inFeatures, random),
            weight,
          )
        : this.addParameter<tf.Rank.R2>('weight', tiedWeight)
    this.bias = bias
      ? this.addParameter('bias', likeTorch<tf.Rank.R1>([outFeatures], inFeatures, random), vector)
      : undefined
  }

  /** `activation` is applied to the result, in one pass where the backend has it fused. */
  forward(x: tf.Tensor, { activation = 'linear' }: { activation?: Activation } = {}): tf.Tensor {
    expectTensor('Linear.forward', x)
    const { inFeatures, outFeatures } = this
    expectShape(
      x.rank >= 1 && x.shape[x.rank - 1] === inFeatures,
      'Linear.forward',
      `a tensor [..., ${inFeatures}]`,
      `a tensor [${x.shape.join(', ')}]`,
      'Pass vectors of that length.',
    )
    if (!this.tied) return linear(x, this.weight, this.bias, activation)
    expectOneOf('Linear.forward', 'activation', activation, activations)
    return tf.tidy(() => {
      const lead = x.shape.slice(0, -1)
      const rows = tf.reshape(x, [sizeOf(lead), inFeatures]) as tf.Tensor2D
      const product = tf.matMul(rows, this.weight, false, true)
      const shifted = this.bias === undefined ? product : tf.add(product, this.bias)
      return tf.reshape(composedActivation[activation](shifted), [...lead, outFeatures])
    })
  }
}

function layoutsOf(options: LinearOptions): { weight: Layout; vector?: Layout } {
  const { inFeatures, outFeatures, flattenedFrom, unflattenedTo, tiedWeight } = options
  expectMap('flattenedFrom', flattenedFrom, 'inFeatures', inFeatures)
  expectMap('unflattenedTo', unflattenedTo, 'outFeatures', outFeatures)
  const permuted = flattenedFrom !== undefined || unflattenedTo !== undefined
  const fits =
    tiedWeight === undefined ||
    (tiedWeight instanceof tf.Variable && tf.util.arraysEqual(tiedWeight.shape, [outFeatures, inFeatures]))
  expectConfig(
    fits && !(permuted && tiedWeight !== undefined),
    'Linear',
    `tiedWeight to be a variable [${outFeatures}, ${inFeatures}], without flattenedFrom and unflattenedTo`,
    tiedWeight,
    'Pass the weight of an Embedding of outFeatures vectors.',
  )
  const weight = permuted
    ? flattenedLinearLayout(inFeatures, outFeatures, flattenedFrom, unflattenedTo)
    : linearLayout
  return unflattenedTo === undefined ? { weight } : { weight, vector: flattenedLayout(unflattenedTo) }
}

function expectMap(name: string, map: readonly number[] | undefined, of: string, features: number): void {
  if (map === undefined) return
  expectConfig(
    Array.isArray(map) &&
      map.length > 0 &&
      map.every(n => Number.isInteger(n) && n > 0) &&
      sizeOf(map) === features,
    'Linear',
    `${name} to be the sizes of a feature map, channels last, whose product is ${of} (${features})`,
    map,
    'Pass [H, W, C] or [D, H, W, C].',
  )
}
