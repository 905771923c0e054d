import { expectInteger, noGrad, type Random, random, tf, VqMemoryError } from '@vq/core'
import { Projection } from '../base/projection.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'

export interface LatticeOptions {
  /** Length of the vectors; where it is not that of the codes, linear layers lead there and back. Default: that length. */
  dim?: number
  /** Codes per vector, each of its own part of the dimensions. Indices are [..., numCodebooks] from 2 on. Default 1. */
  numCodebooks?: number
  /** Whether the linear layers have a bias. Default true. */
  projectionBias?: boolean
  /** Draws the linear layers' first weights, and what a method draws in training. Default: the global generator. */
  random?: Random
}

/** Most numbers that `codebook()` gives. */
const mostListed = 2 ** 27

/**
 * What quantizers with a codebook that follows from a rule have in common: rows of `codeDim` numbers become codes of their
 * own, several per vector where asked for, between linear layers `project_in` and `project_out` where the lengths differ.
 * The layers' results hang on each row alone.
 */
export abstract class LatticeQuantizer extends BaseQuantizer {
  readonly dim: number
  readonly codebookSize: number
  /** Dimensions of one code. */
  readonly codeDim: number
  readonly numCodebooks: number
  protected override readonly codesPerVector: number
  protected override readonly takesFirstCodes: boolean
  protected readonly random: Random
  private readonly projectIn: Projection | undefined
  private readonly projectOut: Projection | undefined

  /** `stages`: codes that each part of a vector has one after another, 0 where it has one. */
  constructor(
    operation: string,
    codeDim: number,
    codebookSize: number,
    options: LatticeOptions,
    { stages = 0 }: { stages?: number } = {},
  ) {
    super()
    const { numCodebooks = 1, projectionBias: bias = true } = options
    expectInteger(operation, 'numCodebooks', numCodebooks, 1)
    const width = codeDim * numCodebooks
    const { dim = width } = options
    expectInteger(operation, 'dim', dim, 1)
    this.dim = dim
    this.codeDim = codeDim
    this.codebookSize = codebookSize
    this.numCodebooks = numCodebooks
    this.codesPerVector = numCodebooks === 1 ? stages : numCodebooks
    this.takesFirstCodes = stages > 0
    this.random = options.random ?? random
    if (dim === width) return
    const layer = (inFeatures: number, outFeatures: number): Projection =>
      new Projection({ inFeatures, outFeatures, bias, random: this.random })
    this.projectIn = this.addModule('project_in', layer(dim, width))
    this.projectOut = this.addModule('project_out', layer(width, dim))
  }

  /** z: [M, codeDim], the parts of one vector behind one another; indices: int32 [M], or [M, stages]. */
  protected abstract quantizeCodes(z: tf.Tensor2D): RowsOutput
  protected abstract encodeCodes(z: tf.Tensor2D): tf.Tensor
  protected abstract decodeCodes(indices: tf.Tensor): tf.Tensor2D

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const { quantized, indices, losses } = this.quantizeCodes(this.toCodes(rows))
    return { quantized: this.fromCodes(quantized), indices: this.perVector(indices), losses }
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return noGrad(() => this.perVector(this.encodeCodes(this.toCodes(rows))))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    const each = this.numCodebooks === 1 ? indices : tf.reshape(indices, [-1])
    return noGrad(() => this.fromCodes(this.decodeCodes(each)))
  }

  /**
   * All codes as vectors: [K, dim], or [K, codeDim] without projection where a vector has several; of a residual quantizer
   * those of the first stage. Computed anew at each call. Throws VqMemoryError where that would be over 2^27 numbers.
   */
  codebook(): tf.Tensor2D {
    const size = this.codebookSize * Math.max(this.codeDim, this.dim)
    if (size > mostListed)
      throw new VqMemoryError({
        operation: `${this.constructor.name}.codebook`,
        expected: `a codebook of at most ${mostListed} numbers`,
        received: `${this.codebookSize} codes`,
        remedy: 'Decode the codes that are needed: decode(indices).',
      })
    return tf.tidy(() =>
      noGrad(() => {
        const values = this.decodeCodes(tf.range(0, this.codebookSize, 1, 'int32'))
        return this.numCodebooks === 1 ? this.fromCodes(values) : values
      }),
    )
  }

  private toCodes(rows: tf.Tensor2D): tf.Tensor2D {
    const { projectIn: layer } = this
    const z = layer === undefined ? rows : layer.forward(rows)
    return tf.reshape(z, [-1, this.codeDim])
  }

  private fromCodes(values: tf.Tensor2D): tf.Tensor2D {
    const { projectOut: layer } = this
    const joined = tf.reshape(values, [-1, this.codeDim * this.numCodebooks]) as tf.Tensor2D
    return layer === undefined ? joined : layer.forward(joined)
  }

  private perVector(indices: tf.Tensor): tf.Tensor {
    return this.numCodebooks === 1 ? indices : tf.reshape(indices, [-1, this.numCodebooks])
  }
}
