// Lee et al. 2022, "Autoregressive image generation using residual quantization", https://arxiv.org/abs/2203.01941:
//   k_d = argmin_k ‖r_{d−1} − e_k‖²,  r_0 = z,  r_d = r_{d−1} − e_{k_d}          (equation 3)
//   ẑ = Σ_d e_{k_d};  L = mean over d of β‖r_{d−1} − sg(e_{k_d})‖²               (equation 6, here a mean over levels)
//   k_d drawn from softmax_k(−‖r_{d−1} − e_k‖²/τ) in training, with sampleTemperature τ      (section 3.3)
import { detach, nearestCode, noGrad, type Random, random, residualEncode, tf } from '@vq/core'
import { ModuleList } from '@vq/core/nn'
import { blamingRows, expectFiniteRows } from '../base/finite.js'
import { Projection } from '../base/projection.js'
import { QuantizeDropout } from '../base/quantize-dropout.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { sumOfStages } from '../base/stages.js'
import type { CodeTable } from '../codebook/code-table.js'
import { CodebookLevel } from '../codebook/level.js'
import {
  codebookLoss,
  commitmentLoss,
  passToCodes,
  passToReconstruction,
  reconstructionLoss,
} from '../codebook/loss.js'
import { crossEntropyCommitment, type Group, regularizers } from '../codebook/regularizers.js'
import { sampleCodes } from '../codebook/soft-assignment.js'
import { stepDraws } from '../codebook/step-draws.js'
import { drawsInTraining, looksAtAllCodes } from '../codebook/training-options.js'
import { estimators, straightThrough } from '../estimators/index.js'
import { type Codewords, ImplicitNetwork } from './implicit-network.js'
import { type ResidualVQOptions, type Resolved, resolve } from './options.js'

interface Level {
  table: CodeTable
  /** [K, D] */
  codes: tf.Tensor2D
  /** What the level quantizes, [N, D]. */
  rest: tf.Tensor2D
  chosen: tf.Tensor1D
  q: tf.Tensor2D
  difference: tf.Tensor2D
  meanSquare: tf.Scalar
  /** The sum of the codes up to here; with networks, as they made it. */
  total: tf.Tensor2D
}

/** How many levels are passed, and how each finds its codes: as the nearest, along `beam` paths, or by what is `drawn`. */
interface Way {
  kept: number
  beam: number
  drawn?: Random | undefined
}

/** Between two levels of a start from data. A type, not an interface: tf.tidy wants an index signature. */
type Passed = { rest: tf.Tensor2D; total?: tf.Tensor2D }

/**
 * Q codebooks, each for what the ones before have left over: indices [..., Q], vectors the sums of their codes. `decode`
 * also takes the first codes of vectors alone, [..., q] with q ≤ Q, or −1 from some level on.
 *
 * With `implicitCodebook` (QINCo) a network makes each later level's codes for each vector, from the codes chosen before and
 * from the level's base codes; see implicit-network.ts. It starts as the plain quantizer of the base codes. The codebook loss
 * is then the mean over levels of ‖sg(z) − x̂_d‖², x̂_d the sum of the first d codes, whose gradient reaches all networks and
 * base codes that x̂_d came from; the codes are chosen outside of it.
 *
 * State: that of a codebook per level, `levels.0.codebook` and so on; with a shared codebook `levels.0` alone; with
 * `implicitCodebook` also `networks.0.concat.weight` and so on for the level after the first.
 *
 * @example
 * const rvq = new ResidualVQ({ numEmbeddings: 1024, embeddingDim: 64, numQuantizers: 8 })
 * const codes = rvq.encode(tf.zeros([2, 16, 64]))   // int32 [2, 16, 8]
 *
 * new ResidualVQ({ numEmbeddings: 64, embeddingDim: 32, implicitCodebook: { hiddenDim: 256, numBlocks: 2 } })
 */
export class ResidualVQ extends BaseQuantizer {
  protected override readonly refusesRows: boolean = true
  protected override readonly codesPerVector: number
  protected override readonly takesFirstCodes: boolean = true
  readonly dim: number
  readonly codebookSize: number
  readonly options: Readonly<Resolved>
  readonly levels: ModuleList<CodebookLevel>
  /** With `implicitCodebook` what makes the codes of each level after the first. */
  readonly networks: ModuleList<ImplicitNetwork> | undefined
  private readonly projectIn: Projection | undefined
  private readonly projectOut: Projection | undefined
  private readonly dropout: QuantizeDropout
  private readonly random: Random
  private readonly rank: number | undefined

  constructor(options: ResidualVQOptions) {
    super()
    this.options = resolve(options)
    const { dim, embeddingDim, numEmbeddings, numQuantizers, sharedCodebook, implicitCodebook } = this.options
    this.dim = dim
    this.codebookSize = numEmbeddings
    this.codesPerVector = numQuantizers
    this.random = options.random ?? random
    this.rank = options.distributed?.rank
    this.dropout = new QuantizeDropout('ResidualVQ', numQuantizers, options, this.random)
    const made = Array.from(
      { length: sharedCodebook ? 1 : numQuantizers },
      () => new CodebookLevel(this.options, options),
    )
    this.levels = this.addModule('levels', new ModuleList(made))
    if (dim !== embeddingDim) {
      const layer = (inFeatures: number, outFeatures: number): Projection =>
        new Projection({ inFeatures, outFeatures, random: this.random })
      this.projectIn = this.addModule('project_in', layer(dim, embeddingDim))
      this.projectOut = this.addModule('project_out', layer(embeddingDim, dim))
    }
    if (implicitCodebook === undefined) return
    // Last, so that a generator gives the codes and projections that it gives without.
    const networks = made.slice(1).map(() => new ImplicitNetwork(embeddingDim, implicitCodebook, this.random))
    this.networks = this.addModule('networks', new ModuleList(networks))
  }

  private tableOf(level: number): CodeTable {
    return this.levels.modules[this.options.sharedCodebook ? 0 : level].table
  }

  /** False while a start from data still waits for `initialize`. */
  get ready(): boolean {
    return [...this.levels].every(({ table }) => table.ready)
  }

  /** Makes the first codes from vectors [..., dim], level by level, as `initCodebook` says: 'kmeans' where that needs no data. */
  async initialize(vectors: tf.Tensor): Promise<void> {
    this.expectLength('initialize', vectors)
    const rest = tf.tidy(() => {
      const rows = tf.reshape(vectors, [-1, this.dim]) as tf.Tensor2D
      this.expectFinite('initialize', rows)
      return this.inner(tf.clone(rows))
    })
    let at: Passed = { rest }
    try {
      for (const [l, { table }] of [...this.levels].entries()) {
        await table.startAsync(await at.rest.data<'float32'>())
        const next = tf.tidy(() => this.pass(l, at))
        tf.dispose(at)
        at = next
      }
    } finally {
      tf.dispose(at)
    }
  }

  // As `initialize`, on the first training batch.
  private start(z: tf.Tensor2D): void {
    let at: Passed = { rest: z }
    for (const [l, { table }] of [...this.levels].entries()) {
      table.start(at.rest.dataSync() as Float32Array)
      at = this.pass(l, at)
    }
  }

  // #region level
  // What level l leaves of the rest, and the sum of codes up to it.
  private pass(l: number, { rest, total }: Passed): Required<Passed> {
    const words = this.codewords(l, this.tableOf(l).weight, total)
    const q = words.of(words.nearest(rest))
    return { rest: tf.sub(rest, q), total: total === undefined ? q : tf.add(total, q) }
  }
  // #endregion level

  // What level l offers to vectors whose levels before sum up to `total`.
  private codewords(l: number, codes: tf.Tensor2D, total: tf.Tensor2D | undefined): Codewords {
    if (this.networks !== undefined && total !== undefined)
      return this.networks.modules[l - 1].codewords(codes, total)
    return {
      nearest: rest => nearestCode(rest, codes) as tf.Tensor1D,
      of: chosen => tf.gather(codes, chosen),
    }
  }

  private inner(rows: tf.Tensor2D): tf.Tensor2D {
    return this.projectIn?.forward(rows) ?? rows
  }

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const { numQuantizers, codebookUpdate, trainingBeamSize, beamSize, sampleTemperature } = this.options
    const learning = this.training && !this.frozen
    const z = this.inner(rows)
    if (learning && !this.ready) {
      this.expectFinite('forward', rows)
      noGrad(() => this.start(z))
    }
    const kept = this.dropout.draw(learning)
    const beam = this.training ? trainingBeamSize : beamSize
    const draws = learning ? stepDraws(this.random, this.options, this.rank) : undefined
    const drawn = sampleTemperature > 0 ? draws?.codes : undefined
    const levels = this.passLevels('forward', rows, z, { kept, beam, drawn })
    const groups = looksAtAllCodes(this.options) ? this.groups(z, levels) : []
    const losses: Record<string, tf.Scalar> = { commitment: this.commitment(z, levels, groups) }
    if (codebookUpdate !== 'ema') losses.codebook = tf.div(tf.addN(levels.map(l => this.codeLoss(l))), kept)
    Object.assign(losses, regularizers(groups, this.options, draws?.losses))
    const quantized = this.passGradient(this.estimate(z, levels), levels)
    if (learning) this.learn(levels)
    const dropped = Array.from({ length: numQuantizers - kept }, () => tf.fill([z.shape[0]], -1, 'int32'))
    const indices = tf.stack([...levels.map(l => l.chosen), ...dropped], 1)
    const parts = levels.map(l => l.q)
    return { quantized: this.projectOut?.forward(quantized) ?? quantized, indices, losses, levels: parts }
  }

  private codeLoss({ codes, chosen, difference, meanSquare, total }: Level): tf.Scalar {
    return this.networks === undefined
      ? codebookLoss(codes, chosen, difference, meanSquare)
      : reconstructionLoss(total, difference, meanSquare)
  }

  // Where codes are learnable, the gradient of what is computed from them.
  private passGradient(quantized: tf.Tensor2D, levels: Level[]): tf.Tensor2D {
    if (this.options.codebookUpdate !== 'learnable') return quantized
    if (this.networks !== undefined) return passToReconstruction(quantized, levels[levels.length - 1].total)
    return levels.reduce((q, { codes, chosen }) => passToCodes(q, codes, chosen), quantized)
  }

  private commitment(z: tf.Tensor2D, levels: Level[], groups: Group[]): tf.Scalar {
    const { commitment, commitmentCost } = this.options
    if (commitment === 'cross-entropy') return crossEntropyCommitment(groups, this.options)
    const beta = commitmentCost / levels.length
    // The residual is z less what is held constant.
    return tf.addN(levels.map(l => commitmentLoss(z, l.difference, l.meanSquare, beta)))
  }

  // The residuals with their gradient to z, and what they chose, by codebook.
  private groups(z: tf.Tensor2D, levels: Level[]): Group[] {
    const each = levels.map(({ rest, codes, chosen }) => ({ z: straightThrough(z, rest), codes, chosen }))
    if (!this.options.sharedCodebook || each.length === 1) return each
    const [rows, chosen] = [tf.concat(each.map(g => g.z)), tf.concat(each.map(g => g.chosen))]
    return [{ z: rows, codes: each[0].codes, chosen }]
  }

  // The first `kept` levels of z [N, D].
  private passLevels(method: string, rows: tf.Tensor2D, z: tf.Tensor2D, { kept, beam, drawn }: Way): Level[] {
    const levels: Level[] = []
    const given = beam > 1 ? this.search(method, rows, z, kept, beam) : undefined
    // Fixed codes get their gradient from the losses; what networks make is recorded.
    const recorded = this.networks === undefined ? noGrad : <T>(f: () => T): T => f()
    let rest = detach(z)
    let before: tf.Tensor2D | undefined
    for (let l = 0; l < kept; l++) {
      const table = this.tableOf(l)
      const codes = table.codes()
      const words = this.codewords(l, codes, before)
      const find = (): tf.Tensor1D =>
        drawn ? this.sample(rest, codes, drawn) : this.nearest(method, rows, rest, words)
      const chosen = given?.[l] ?? noGrad(find)
      const made = recorded(() => words.of(chosen))
      const total = recorded(() => (before === undefined ? made : tf.add<tf.Tensor2D>(before, made)))
      const level = noGrad(() => {
        const q = detach(made)
        const difference = tf.sub<tf.Tensor2D>(rest, q)
        const meanSquare = tf.mean<tf.Scalar>(tf.square(difference))
        return { table, codes, rest, chosen, q, difference, meanSquare, total }
      })
      // Before anything moves: a NaN would stay in the averages for ever.
      if (l === 0) expectFiniteRows(`ResidualVQ.${method}`, rows, level.meanSquare.dataSync()[0])
      levels.push(level)
      rest = level.difference
      before = total
    }
    return levels
  }

  private nearest(method: string, rows: tf.Tensor2D, rest: tf.Tensor2D, words: Codewords): tf.Tensor1D {
    return blamingRows(`ResidualVQ.${method}`, rows, () => words.nearest(rest))
  }

  private sample(rest: tf.Tensor2D, codes: tf.Tensor2D, drawn: Random): tf.Tensor1D {
    const { metric, sampleTemperature: temperature } = this.options
    return sampleCodes(rest, codes, { metric, temperature }, drawn)
  }

  // Codes by beam search, one tensor [N] per level.
  private search(
    method: string,
    rows: tf.Tensor2D,
    z: tf.Tensor2D,
    kept: number,
    beam: number,
  ): tf.Tensor1D[] {
    const books = Array.from({ length: kept }, (_, l) => values(this.tableOf(l).weight))
    const { codes } = blamingRows(`ResidualVQ.${method}`, rows, () =>
      residualEncode(values(z), books, { dim: z.shape[1], beam }),
    )
    return tf.unstack(tf.tensor2d(codes, [z.shape[0], kept], 'int32'), 1) as tf.Tensor1D[]
  }

  private estimate(z: tf.Tensor2D, levels: Level[]): tf.Tensor2D {
    const { estimator, estimatorScope } = this.options
    const through = estimators[estimator]
    if (estimatorScope === 'sum') return through(z, detach(levels[levels.length - 1].total))
    let before: tf.Tensor2D | undefined
    let quantized: tf.Tensor2D | undefined
    for (const { q } of levels) {
      const part = through(before === undefined ? z : tf.sub(z, before), q)
      before = noGrad(() => (before === undefined ? q : tf.add(before, q)))
      quantized = quantized === undefined ? part : tf.add(quantized, part)
    }
    return quantized as tf.Tensor2D
  }

  private learn(levels: Level[]): void {
    if (!this.options.sharedCodebook) {
      for (const { table, rest, chosen } of levels) table.learn(rest, chosen)
      return
    }
    noGrad(() =>
      this.tableOf(0).learn(tf.concat(levels.map(l => l.rest)), tf.concat(levels.map(l => l.chosen))),
    )
  }

  override learnFromNothing(): void {
    // The order of `quantizeRows`: the same numbers are drawn as where there are vectors, and as many levels kept.
    for (const { table } of this.levels) table.startFromNothing()
    const kept = this.dropout.draw(true)
    stepDraws(this.random, this.options)
    for (const { table } of [...this.levels].slice(0, kept)) table.learnFromNothing()
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    const { numQuantizers, beamSize } = this.options
    return noGrad(() => {
      const way = { kept: numQuantizers, beam: beamSize }
      const levels = this.passLevels('encode', rows, this.inner(rows), way)
      return tf.stack(
        levels.map(l => l.chosen),
        1,
      )
    })
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => {
      const total = sumOfStages(indices, (l, codes, before) =>
        this.codewords(l, this.tableOf(l).weight, before).of(codes),
      )
      return this.projectOut?.forward(total) ?? total
    })
  }

  /** [Q, K, D], also where all levels share one codebook; with `implicitCodebook` the base codes from level 2 on. */
  codebook(): tf.Tensor3D {
    const { numQuantizers } = this.options
    return tf.tidy(
      () => tf.stack(Array.from({ length: numQuantizers }, (_, l) => this.tableOf(l).codes())) as tf.Tensor3D,
    )
  }

  override extraState(): unknown {
    const draws = this.dropout.on || drawsInTraining(this.options, this.codebookSize)
    return draws ? { random: this.random.state } : undefined
  }

  override loadExtraState(state: unknown): void {
    this.random.state = (state as { random: Random['state'] }).random
  }
}

function values(x: tf.Tensor): Float32Array {
  return x.dataSync<'float32'>()
}
