// Zhu et al. 2024, "Addressing representation collapse in vector quantized models with one linear layer",
// https://arxiv.org/abs/2411.02038: the codes are C·W, C fixed random vectors and W learned, so that every code moves with
// every step (equation 5): L = ‖sg(z) − q‖² + β‖z − sg(q)‖².
import {
  expectInteger,
  expectNumber,
  expectOneOf,
  nearestCode,
  noGrad,
  orderedLinear,
  type Random,
  random,
  tf,
} from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { blamingRows, expectFiniteRows } from '../base/finite.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { expectCodes } from '../codebook/expect-codes.js'
import { codebookLoss, commitmentLoss } from '../codebook/loss.js'
import { type EstimatorName, estimators } from '../estimators/index.js'
import type { Initializer } from '../initializers/uniform.js'

export interface SimVQOptions {
  /** K, the number of codes. */
  numEmbeddings: number
  /** D, the length of a vector. */
  embeddingDim: number
  /** β, the weight of the commitment loss. Default 0.25. */
  commitmentCost?: number
  /** How the gradient passes the quantizer. Default 'ste'. */
  estimator?: EstimatorName
  /** The fixed vectors C, [K, D] row by row. Default: normal with deviation 1/√D. */
  initCodebook?: Float32Array | Initializer
  /** Draws C. Default: the global generator. */
  random?: Random
}

/**
 * A codebook C·W that one linear map of fixed random vectors makes up. State: the buffer `codebook` (C, [K, D]) and the
 * parameter `transform` (W, [D, D], the identity at first).
 *
 * @example
 * new SimVQ({ numEmbeddings: 65536, embeddingDim: 32 })
 */
export class SimVQ extends BaseQuantizer {
  protected override readonly refusesRows: boolean = true
  readonly dim: number
  readonly codebookSize: number
  readonly options: Readonly<Required<Pick<SimVQOptions, 'commitmentCost' | 'estimator'>>>
  private readonly fixed: tf.Variable<tf.Rank.R2>
  private readonly transform: tf.Variable<tf.Rank.R2>

  constructor(options: SimVQOptions) {
    super()
    expectOptions('SimVQ', options, '{ numEmbeddings: 1024, embeddingDim: 32 }')
    const { numEmbeddings: k, embeddingDim: dim, commitmentCost = 0.25, estimator = 'ste' } = options
    const { random: generator = random, initCodebook = normal } = options
    expectInteger('SimVQ', 'numEmbeddings', k, 1, 2 ** 31 - 1)
    expectInteger('SimVQ', 'embeddingDim', dim, 1, 2 ** 31 - 1)
    expectNumber('SimVQ', 'commitmentCost', commitmentCost, 0, Number.MAX_VALUE)
    expectOneOf('SimVQ', 'estimator', estimator, Object.keys(estimators) as EstimatorName[])
    this.dim = dim
    this.codebookSize = k
    this.options = { commitmentCost, estimator }
    const given =
      typeof initCodebook === 'function'
        ? initCodebook({ numEmbeddings: k, embeddingDim: dim, random: generator })
        : initCodebook
    this.fixed = this.addBuffer('codebook', tf.tensor2d(expectCodes(given, [k, dim]).slice(), [k, dim]))
    this.transform = this.addParameter('transform', tf.eye(dim))
  }

  private codes(): tf.Tensor2D {
    return orderedLinear(this.fixed, this.transform) as tf.Tensor2D
  }

  protected quantizeRows(z: tf.Tensor2D): RowsOutput {
    const { commitmentCost, estimator } = this.options
    const codes = this.codes()
    const { chosen, q, difference, meanSquare } = noGrad(() => {
      const chosen = this.nearest('forward', z, codes)
      const q = tf.gather<tf.Tensor2D>(codes, chosen)
      const difference = tf.sub<tf.Tensor2D>(z, q)
      return { chosen, q, difference, meanSquare: tf.mean(tf.square(difference)) as tf.Scalar }
    })
    expectFiniteRows('SimVQ.forward', z, meanSquare.dataSync()[0])
    return {
      quantized: estimators[estimator](z, q),
      indices: chosen,
      losses: {
        codebook: codebookLoss(codes, chosen, difference, meanSquare),
        commitment: commitmentLoss(z, difference, meanSquare, commitmentCost),
      },
    }
  }

  private nearest(method: string, rows: tf.Tensor2D, codes: tf.Tensor2D): tf.Tensor1D {
    return blamingRows(`SimVQ.${method}`, rows, () => nearestCode(rows, codes) as tf.Tensor1D)
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return noGrad(() => this.nearest('encode', rows, this.codes()))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => tf.gather(this.codes(), indices as tf.Tensor1D))
  }

  /** C·W, [K, D]. */
  codebook(): tf.Tensor2D {
    return tf.tidy(() => noGrad(() => this.codes()))
  }
}

const normal: Initializer = ({ numEmbeddings: k, embeddingDim: dim, random: generator = random }) =>
  generator.fillNormal(new Float32Array(k * dim), 0, 1 / Math.sqrt(dim))
