// van den Oord et al. 2017, "Neural discrete representation learning", https://arxiv.org/abs/1711.00937:
//   q(z) = e_k,  k = argmin_j ‖z − e_j‖²                                     (equations 1, 2)
//   L = ‖sg(z) − e‖² + β‖z − sg(e)‖²                                         (equation 3; the first term with gradients only)
//   N ← γN + (1−γ)n,  m ← γm + (1−γ)Σz,  e = m / N                           (appendix A.1, with EMA)
import { nearestCode, noGrad, type Random, random, tf } from '@vq/core'
import { blamingRows, expectFiniteRows } from '../base/finite.js'
import { Projection } from '../base/projection.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { unitRows } from '../base/unit-rows.js'
import { CodeTable } from '../codebook/code-table.js'
import { codebookLoss, commitmentLoss, passToCodes } from '../codebook/loss.js'
import { crossEntropyCommitment, regularizers } from '../codebook/regularizers.js'
import { sampleCodes } from '../codebook/soft-assignment.js'
import { type StepDraws, stepDraws } from '../codebook/step-draws.js'
import { drawsInTraining, looksAtAllCodes } from '../codebook/training-options.js'
import { estimators } from '../estimators/index.js'
import { fromGroups, toGroups } from './heads.js'
import { type Resolved, resolve, type VectorQuantizerOptions } from './options.js'

/**
 * One codebook of K vectors of length D; each vector, or each head of it, becomes its nearest code.
 *
 * State: with 'ema' the buffers `codebook` [K, D], `counts` [K] and `sums` [K, D]; otherwise the parameter `weight`
 * [K, D], and the buffer `counts` where dead codes are revived. With a start from data also the counter `initialized`; with
 * projections `project_in` and `project_out`. Separate codebooks of heads lie behind one another, [heads·K, D].
 *
 * @example
 * const vq = new VectorQuantizer({ numEmbeddings: 512, embeddingDim: 64 })
 * const { quantized, indices, loss } = vq.forward(tf.zeros([2, 8, 8, 64]))
 */
export class VectorQuantizer extends BaseQuantizer {
  protected override readonly refusesRows: boolean = true
  protected override readonly codesPerVector: number
  readonly dim: number
  readonly codebookSize: number
  readonly options: Readonly<Resolved>
  private readonly codes: CodeTable
  private readonly projectIn: Projection | undefined
  private readonly projectOut: Projection | undefined
  private readonly random: Random
  private readonly rank: number | undefined

  constructor(options: VectorQuantizerOptions) {
    super()
    this.options = resolve(options)
    const { dim, heads, embeddingDim, separateCodebooks, numEmbeddings } = this.options
    this.dim = dim
    this.codebookSize = numEmbeddings
    this.codesPerVector = heads > 1 ? heads : 0
    this.random = options.random ?? random
    this.rank = options.distributed?.rank
    const own = {
      parameter: (name: string, value: tf.Tensor2D) => this.addParameter(name, value),
      buffer: <R extends tf.Rank>(name: string, value: tf.Tensor<R>) => this.addBuffer(name, value),
      counter: (name: string) => this.addCounter(name),
    }
    this.codes = new CodeTable(own, this.options, options, separateCodebooks ? heads : 1)
    const inner = heads * embeddingDim
    if (dim === inner) return
    const { random: generator = random } = options
    const layer = (inFeatures: number, outFeatures: number): Projection =>
      new Projection({ inFeatures, outFeatures, random: generator })
    this.projectIn = this.addModule('project_in', layer(dim, inner))
    this.projectOut = this.addModule('project_out', layer(inner, dim))
  }

  /** The codes as they are kept, [K, D]; separate codebooks of heads behind one another. */
  get table(): tf.Variable<tf.Rank.R2> {
    return this.codes.weight
  }

  /** False while a start from data still waits for `initialize`. */
  get ready(): boolean {
    return this.codes.ready
  }

  /** Makes the first codes from vectors [..., dim] as `initCodebook` says: 'kmeans' where that needs no data. */
  async initialize(vectors: tf.Tensor): Promise<void> {
    this.expectLength('initialize', vectors)
    const rows = tf.tidy(() => {
      const all = tf.reshape(vectors, [-1, this.dim]) as tf.Tensor2D
      this.expectFinite('initialize', all)
      return this.toHeads(all)
    })
    try {
      await this.codes.startAsync(await rows.data<'float32'>())
    } finally {
      rows.dispose()
    }
  }

  /** Replaces all codes, [K, D] row by row, and starts their averages anew. */
  setCodebook(codes: Float32Array): void {
    this.codes.set(codes)
  }

  // Rows [N, dim] as what codes are sought for: [G·M, D], G the number of codebooks; for cosine of unit length.
  private toHeads(rows: tf.Tensor2D): tf.Tensor2D {
    const { heads, metric } = this.options
    const parts = toGroups(this.projectIn?.forward(rows) ?? rows, heads, this.codes.groups)
    return metric === 'cosine' ? unitRows(parts) : parts
  }

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const { estimator, codebookUpdate, sampleTemperature } = this.options
    const learning = this.training && !this.frozen
    const z = this.toHeads(rows)
    if (learning && !this.ready) {
      this.expectFinite('forward', rows)
      this.codes.start(z.dataSync() as Float32Array)
    }
    const codes = this.codes.codes()
    const draws = learning ? stepDraws(this.random, this.options, this.rank) : undefined
    const { chosen, q, difference, meanSquare } = noGrad(() => {
      const drawn = draws !== undefined && sampleTemperature > 0
      const chosen = drawn ? this.sample(z, codes, draws) : this.nearest('forward', rows, z)
      const q = tf.gather<tf.Tensor2D>(codes, chosen)
      const difference = tf.sub<tf.Tensor2D>(z, q)
      return { chosen, q, difference, meanSquare: tf.mean(tf.square(difference)) as tf.Scalar }
    })
    // Before anything moves: a NaN would stay in the averages for ever.
    expectFiniteRows('VectorQuantizer.forward', rows, meanSquare.dataSync()[0])
    const losses: Record<string, tf.Scalar> = {}
    const groups = looksAtAllCodes(this.options) ? this.codes.split(z, chosen, codes) : []
    losses.commitment =
      this.options.commitment === 'mse'
        ? commitmentLoss(z, difference, meanSquare, this.options.commitmentCost)
        : crossEntropyCommitment(groups, this.options)
    if (codebookUpdate !== 'ema') losses.codebook = codebookLoss(codes, chosen, difference, meanSquare)
    Object.assign(losses, regularizers(groups, this.options, draws?.losses))
    const estimated = estimators[estimator](z, q)
    const quantized = codebookUpdate === 'learnable' ? passToCodes(estimated, codes, chosen) : estimated
    if (learning) this.codes.learn(z, chosen)
    return { quantized: this.fromHeads(quantized), indices: this.toIndices(chosen), losses }
  }

  override learnFromNothing(): void {
    this.codes.startFromNothing()
    stepDraws(this.random, this.options)
    this.codes.learnFromNothing()
  }

  // Codes of rows [G·M, D], as places in the table of all groups.
  private sample(z: tf.Tensor2D, codes: tf.Tensor2D, draws: StepDraws): tf.Tensor1D {
    const { metric, sampleTemperature: temperature } = this.options
    return this.codes.eachGroup(z, codes, (part, book) =>
      sampleCodes(part, book, { metric, temperature }, draws.codes),
    )
  }

  private nearest(method: string, rows: tf.Tensor2D, z: tf.Tensor2D): tf.Tensor1D {
    const { metric } = this.options
    return blamingRows(`VectorQuantizer.${method}`, rows, () =>
      this.codes.eachGroup(z, this.table, (part, book) => nearestCode(part, book, { metric }) as tf.Tensor1D),
    )
  }

  // Places in the table of all groups [G·M] → indices [N] or [N, heads].
  private toIndices(chosen: tf.Tensor1D): tf.Tensor {
    const { heads, numEmbeddings: k } = this.options
    if (heads === 1) return chosen
    const { groups } = this.codes
    if (groups === 1) return tf.reshape(chosen, [-1, heads])
    const first = tf.reshape(tf.mul(tf.range(0, heads, 1, 'int32'), tf.scalar(k, 'int32')), [heads, 1])
    return tf.transpose(tf.sub(tf.reshape(chosen, [heads, -1]), first))
  }

  private fromHeads(rows: tf.Tensor2D): tf.Tensor2D {
    const joined = fromGroups(rows, this.options.heads, this.codes.groups)
    return this.projectOut?.forward(joined) ?? joined
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return noGrad(() => this.toIndices(this.nearest('encode', rows, this.toHeads(rows))))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    const { heads, numEmbeddings: k } = this.options
    return noGrad(() => {
      const first = tf.mul(tf.range(0, heads, 1, 'int32'), tf.scalar(k, 'int32'))
      const separate = this.codes.groups > 1
      const places = tf.reshape(separate ? tf.add(indices, first) : indices, [-1]) as tf.Tensor1D
      const rows = tf.gather<tf.Tensor2D>(this.codes.codes(), places) // [N·heads, D]
      const joined = tf.reshape(rows, [-1, heads * this.options.embeddingDim]) as tf.Tensor2D
      return this.projectOut?.forward(joined) ?? joined
    })
  }

  /** [K, D]; [heads, K, D] with separate codebooks. For cosine unit codes. */
  codebook(): tf.Tensor {
    const { numEmbeddings, embeddingDim } = this.options
    const { groups } = this.codes
    return tf.tidy(() => {
      const codes = this.codes.codes()
      return groups === 1 ? codes : tf.reshape(codes, [groups, numEmbeddings, embeddingDim])
    })
  }

  /** The codes that indices name, int32 [...] → [..., dim]. */
  getCodebookEntry(indices: tf.Tensor): tf.Tensor {
    return this.decode(indices)
  }

  /**
   * Distances from every vector of z [..., dim] to every code, [..., K], or [..., heads, K]: squared, max(0, ‖z‖² − 2z·e +
   * ‖e‖²); for cosine 1 − cos.
   */
  getDistanceMatrix(z: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      this.expectLength('getDistanceMatrix', z)
      const { metric, heads } = this.options
      const rows = this.toHeads(tf.reshape(z, [-1, this.dim]) as tf.Tensor2D)
      const parts = this.codes.split(rows, undefined, this.codes.codes()).map(({ z, codes }) => {
        const products = tf.matMul(z, codes, false, true) // [M, K]
        if (metric === 'cosine') return tf.sub(1, products)
        const own = tf.sum(tf.square(z), 1, true) // [M, 1]
        return tf.maximum(tf.add(tf.sub(own, tf.mul(products, 2)), tf.sum(tf.square(codes), 1)), 0)
      })
      const distances = fromGroups(tf.concat(parts) as tf.Tensor2D, heads, this.codes.groups)
      const lead = z.shape.slice(0, -1)
      return tf.reshape(distances, [...lead, ...(heads > 1 ? [heads] : []), this.codebookSize])
    })
  }

  override extraState(): unknown {
    const codes = this.codes.extraState()
    const draws = drawsInTraining(this.options, this.codebookSize)
    return codes ?? (draws ? { random: this.random.state } : undefined)
  }

  override loadExtraState(state: unknown): void {
    if (this.codes.extraState() !== undefined) this.codes.loadExtraState(state)
    else this.random.state = (state as { random: Random['state'] }).random
  }
}
