// van den Oord et al. 2017, "Neural discrete representation learning", https://arxiv.org/abs/1711.00937:
//   q(z) = e_k,  k = argmin_j ‖z − e_j‖²                                     (equations 1, 2)
//   L = ‖sg(z) − e‖² + β‖z − sg(e)‖²                                         (equation 3; the first term with gradients only)
//   N ← γN + (1−γ)n,  m ← γm + (1−γ)Σz,  e = m / N                           (appendix A.1, with EMA)
import {
  emaUpdateTensors,
  nearestCode,
  noGrad,
  type Random,
  random,
  reviveDeadCodesTensors,
  tf,
} from '@vq/core'
import { expectFiniteRows } from '../base/finite.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { estimators } from '../estimators/index.js'
import { kmeansInit, kmeansInitSync } from '../initializers/kmeans.js'
import { type InitializerOptions, uniformInit } from '../initializers/uniform.js'
import { codebookLoss, commitmentLoss } from './loss.js'
import { type Resolved, resolve, type VectorQuantizerOptions } from './options.js'

/**
 * One codebook of K vectors of length D; each vector becomes its nearest code.
 *
 * State: with 'ema' the buffers `codebook` [K, D], `counts` [K] and `sums` [K, D]; with 'gradient' the parameter
 * `weight` [K, D], and the buffer `counts` where dead codes are revived. With k-means start also the counter
 * `initialized`.
 *
 * @example
 * const vq = new VectorQuantizer({ numEmbeddings: 512, embeddingDim: 64 })
 * const { quantized, indices, loss } = vq.forward(tf.zeros([2, 8, 8, 64]))
 */
export class VectorQuantizer extends BaseQuantizer {
  protected override readonly refusesRows: boolean = true
  readonly dim: number
  readonly codebookSize: number
  readonly options: Readonly<Resolved>
  /** The codes themselves, [K, D]. */
  readonly table: tf.Variable<tf.Rank.R2>
  private readonly counts_: tf.Variable<tf.Rank.R1> | undefined
  private readonly sums: tf.Variable<tf.Rank.R2> | undefined
  private readonly initialized: { value: number } | undefined
  private readonly random: Random
  private steps = 0

  constructor(options: VectorQuantizerOptions) {
    super()
    this.options = resolve(options)
    this.random = options.random ?? random
    const { numEmbeddings: k, embeddingDim, codebookUpdate, initCodebook, deadCodeThreshold } = this.options
    this.dim = embeddingDim
    this.codebookSize = k
    const init = typeof initCodebook === 'function' ? initCodebook : uniformInit
    const values = init({ numEmbeddings: k, embeddingDim, random: this.random })
    const first = (): tf.Tensor2D => tf.tensor2d(values.slice(), [k, embeddingDim])
    const ones = (): tf.Tensor1D => tf.ones([k])
    if (codebookUpdate === 'ema') {
      this.table = this.addBuffer('codebook', first())
      // (1, the initial code): an unused code stays where it is.
      this.counts_ = this.addBuffer('counts', ones())
      this.sums = this.addBuffer('sums', first())
    } else {
      this.table = this.addParameter('weight', first())
      if (deadCodeThreshold > 0) this.counts_ = this.addBuffer('counts', ones())
    }
    if (initCodebook === 'kmeans') this.initialized = this.addCounter('initialized')
  }

  /** False while a k-means start still waits for `initialize`. */
  get ready(): boolean {
    return this.initialized === undefined || this.initialized.value > 0
  }

  /** Sets the codes to the k-means centroids of vectors [..., D], at least K of them. */
  async initialize(vectors: tf.Tensor): Promise<void> {
    this.expectLength('initialize', vectors)
    this.start(await kmeansInit(await vectors.data<'float32'>(), this.initializerOptions))
  }

  private get initializerOptions(): Required<InitializerOptions> {
    return { numEmbeddings: this.codebookSize, embeddingDim: this.dim, random: this.random }
  }

  private start(codes: Float32Array): void {
    this.setCodebook(codes)
    if (this.initialized !== undefined) this.initialized.value = 1
  }

  /** Replaces all codes, [K, D] row by row, and starts their averages anew. */
  setCodebook(codes: Float32Array): void {
    tf.tidy(() => {
      const value = tf.tensor2d(codes.slice(), this.table.shape)
      this.table.assign(value)
      this.sums?.assign(value)
      this.counts_?.assign(tf.ones([this.codebookSize]))
    })
  }

  protected quantizeRows(z: tf.Tensor2D): RowsOutput {
    const { commitmentCost, estimator, codebookUpdate } = this.options
    const learning = this.training && !this.frozen
    if (learning && !this.ready)
      this.start(kmeansInitSync(z.dataSync() as Float32Array, this.initializerOptions))
    const { indices, q, difference, meanSquare } = noGrad(() => {
      const indices = this.nearest('forward', z)
      const q = tf.gather<tf.Tensor2D>(this.table, indices)
      const difference = tf.sub<tf.Tensor2D>(z, q)
      return { indices, q, difference, meanSquare: tf.mean(tf.square(difference)) as tf.Scalar }
    })
    // Before anything moves: a NaN would stay in the averages for ever.
    expectFiniteRows('VectorQuantizer.forward', z, meanSquare.dataSync()[0])
    const losses: Record<string, tf.Scalar> = {
      commitment: commitmentLoss(z, difference, meanSquare, commitmentCost),
    }
    if (codebookUpdate === 'gradient')
      losses.codebook = codebookLoss(this.table, indices, difference, meanSquare)
    const quantized = estimators[estimator](z, q)
    if (learning) noGrad(() => this.learn(z, indices))
    return { quantized, indices, losses }
  }

  private learn(z: tf.Tensor2D, indices: tf.Tensor1D): void {
    const { decay, epsilon, deadCodeThreshold, revivalInterval } = this.options
    const { table: codebook, counts_: counts, sums } = this
    if (counts !== undefined && sums !== undefined)
      emaUpdateTensors(z, indices, { codebook, counts, sums }, { decay, epsilon })
    if (counts === undefined || deadCodeThreshold === 0) return
    if (sums === undefined)
      tf.tidy(() => {
        const n = tf.unsortedSegmentSum(tf.ones([z.shape[0]]), indices, this.codebookSize)
        counts.assign(tf.add(tf.mul(counts, decay), tf.mul(n, 1 - decay)) as tf.Tensor1D)
      })
    if (++this.steps % revivalInterval !== 0) return
    const averages = { codebook, counts, sums }
    reviveDeadCodesTensors(z, averages, { threshold: deadCodeThreshold, random: this.random })
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return this.nearest('encode', rows)
  }

  private nearest(method: string, rows: tf.Tensor2D): tf.Tensor1D {
    try {
      return nearestCode(rows, this.table) as tf.Tensor1D
    } catch (error) {
      // In the quantizer's own name where the rows are to blame.
      expectFiniteRows(`VectorQuantizer.${method}`, rows, Number.NaN)
      throw error
    }
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => tf.gather(this.table, indices as tf.Tensor1D))
  }

  codebook(): tf.Tensor2D {
    return tf.clone(this.table)
  }

  /** The codes that indices name, int32 [...] → [..., D]. */
  getCodebookEntry(indices: tf.Tensor): tf.Tensor {
    return this.decode(indices)
  }

  /** Squared distances from every vector of z [..., D] to every code, [..., K], max(0, ‖z‖² − 2z·e + ‖e‖²). */
  getDistanceMatrix(z: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      this.expectLength('getDistanceMatrix', z)
      const rows = tf.reshape(z, [-1, this.dim]) as tf.Tensor2D
      const own = tf.sum(tf.square(rows), 1, true) // [N, 1]
      const codes = tf.sum(tf.square(this.table), 1) // [K]
      const products = tf.matMul(rows, this.table, false, true) // [N, K]
      const distances = tf.maximum(tf.add(tf.sub(own, tf.mul(products, 2)), codes), 0)
      return tf.reshape(distances, [...z.shape.slice(0, -1), this.codebookSize])
    })
  }

  override extraState(): unknown {
    if (this.options.deadCodeThreshold === 0) return undefined
    return { steps: this.steps, random: this.random.state }
  }

  override loadExtraState(state: unknown): void {
    const { steps, random } = state as { steps: number; random: Random['state'] }
    this.steps = steps
    this.random.state = random
  }
}
