import { emaUpdateTensors, noGrad, type Random, random, tf } from '@vq/core'
import { unitRows } from '../base/unit-rows.js'
import { type DataInitializer, dataInitializers, kmeansInit } from '../initializers/index.js'
import { type InitializerOptions, uniformInit } from '../initializers/uniform.js'
import { expectDistributed, gatherRows } from './distributed.js'
import { expectCodes } from './expect-codes.js'
import type { CodebookOptions, ResolvedCodebook } from './options.js'
import { reviveDead, setRows } from './revival.js'

/** Where a table puts what has to be saved: a module's own `addParameter`, `addBuffer` and `addCounter`. */
export interface Registrar {
  parameter(name: string, value: tf.Tensor2D): tf.Variable<tf.Rank.R2>
  buffer<R extends tf.Rank>(name: string, value: tf.Tensor<R>): tf.Variable<R>
  counter(name: string): { value: number }
}

/**
 * The codes of one codebook, or of G codebooks behind one another, and the rule that moves them.
 *
 * State: with 'ema' the buffers `codebook` [G·K, D], `counts` [G·K] and `sums` [G·K, D]; otherwise the parameter `weight`
 * [G·K, D], and the buffer `counts` where dead codes are revived. With a start from data also the counter `initialized`.
 * (The EMA counts of several codebooks are smoothed together: they have equally many rows.)
 */
export class CodeTable {
  readonly options: Readonly<ResolvedCodebook>
  readonly groups: number
  readonly weight: tf.Variable<tf.Rank.R2>
  private readonly counts: tf.Variable<tf.Rank.R1> | undefined
  private readonly sums: tf.Variable<tf.Rank.R2> | undefined
  private readonly initialized: { value: number } | undefined
  private readonly random: Random
  private readonly distributed: CodebookOptions['distributed']
  private steps = 0

  constructor(
    owner: Registrar,
    options: ResolvedCodebook,
    { random: own, distributed }: Pick<CodebookOptions, 'random' | 'distributed'>,
    groups = 1,
  ) {
    expectDistributed('distributed training', distributed)
    this.options = options
    this.groups = groups
    this.random = own ?? random
    this.distributed = distributed
    const { codebookUpdate, initCodebook, deadCodeThreshold } = options
    const first = tf.keep(this.onSphere(this.firstCodes()))
    // #region start
    if (codebookUpdate === 'ema') {
      this.weight = owner.buffer('codebook', tf.clone(first))
      // (1, the initial code): a code that nobody chooses stays where it is until its count falls below epsilon, then sinks to 0.
      this.counts = owner.buffer('counts', this.firstCounts())
      this.sums = owner.buffer('sums', this.firstSums(first))
      first.dispose()
      // #endregion start
    } else {
      this.weight = owner.parameter('weight', first)
      if (deadCodeThreshold > 0) this.counts = owner.buffer('counts', this.firstCounts())
    }
    if (fromData(initCodebook)) this.initialized = owner.counter('initialized')
  }

  /** G·K */
  get size(): number {
    return this.groups * this.options.numEmbeddings
  }

  private get shape(): [number, number] {
    return [this.size, this.options.embeddingDim]
  }

  private firstCodes(): Float32Array {
    const { initCodebook } = this.options
    const each = this.initializerOptions
    if (initCodebook instanceof Float32Array) return expectCodes(initCodebook, this.shape)
    const init = typeof initCodebook === 'function' ? initCodebook : uniformInit
    const parts = Array.from({ length: this.groups }, () => {
      const codes = init(each)
      return expectCodes(codes, [each.numEmbeddings, each.embeddingDim])
    })
    return concat(parts)
  }

  private get initializerOptions(): Required<InitializerOptions> {
    const { numEmbeddings, embeddingDim } = this.options
    return { numEmbeddings, embeddingDim, random: this.random }
  }

  // Copies: the caller's array stays its own.
  private onSphere(codes: Float32Array): tf.Tensor2D {
    return tf.tidy(() => {
      const table = tf.tensor2d(codes.slice(), this.shape)
      return this.options.metric === 'cosine' ? unitRows(table) : table
    })
  }

  // 1, but where that would be dead already: as a revived code, or the first step would throw the initial codes away.
  private get firstCount(): number {
    const { deadCodeThreshold, deadCodeReset } = this.options
    return deadCodeThreshold > 1 ? deadCodeReset : 1
  }

  private firstCounts(): tf.Tensor1D {
    return tf.fill([this.size], this.firstCount)
  }

  private firstSums(codes: tf.Tensor2D): tf.Tensor2D {
    return this.firstCount === 1 ? tf.clone(codes) : tf.tidy(() => tf.mul(codes, this.firstCount))
  }

  /** The codes that vectors become, [G·K, D]: the table, or for cosine its rows by their direction. */
  codes(): tf.Tensor2D {
    const { metric, codebookUpdate } = this.options
    // Averages are put back on the sphere when they move.
    return metric === 'cosine' && codebookUpdate !== 'ema' ? unitRows(this.weight) : tf.clone(this.weight)
  }

  /** Rows [G·M, D], what they chose and the codes [G·K, D] by group; `chosen` then counts from the group's first code. */
  split(
    z: tf.Tensor2D,
    chosen: tf.Tensor1D | undefined,
    codes: tf.Tensor2D,
  ): { z: tf.Tensor2D; chosen: tf.Tensor1D; codes: tf.Tensor2D }[] {
    const { groups } = this
    const { numEmbeddings: k } = this.options
    const none = tf.tensor1d([], 'int32')
    if (groups === 1) return [{ z, chosen: chosen ?? none, codes }]
    const [parts, books] = [tf.split<tf.Tensor2D>(z, groups), tf.split<tf.Tensor2D>(codes, groups)]
    const places = chosen === undefined ? undefined : tf.split(chosen, groups)
    return parts.map((part, g) => ({
      z: part,
      chosen: places === undefined ? none : tf.sub<tf.Tensor1D>(places[g], tf.scalar(g * k, 'int32')),
      codes: books[g],
    }))
  }

  /** Places in the table, int32 [G·M], from what `find` gives for the rows and the codes of each group. */
  eachGroup(
    z: tf.Tensor2D,
    codes: tf.Tensor2D,
    find: (z: tf.Tensor2D, codes: tf.Tensor2D) => tf.Tensor1D,
  ): tf.Tensor1D {
    if (this.groups === 1) return find(z, codes)
    const { numEmbeddings: k } = this.options
    const found = this.split(z, undefined, codes).map((part, g) =>
      tf.add<tf.Tensor1D>(find(part.z, part.codes), tf.scalar(g * k, 'int32')),
    )
    return tf.concat(found)
  }

  /** False while a start from data still waits for it. */
  get ready(): boolean {
    return this.initialized === undefined || this.initialized.value > 0
  }

  private get dataInitializer(): DataInitializer {
    const { initCodebook } = this.options
    return fromData(initCodebook) ? initCodebook : 'kmeans'
  }

  /** Makes the first codes from rows [G·M, D], the groups behind one another. */
  start(rows: Float32Array): void {
    const make = dataInitializers[this.dataInitializer]
    const kind = { spherical: this.options.metric === 'cosine' }
    this.set(
      concat(this.perGroup(this.everywhere(rows)).map(part => make(part, this.initializerOptions, kind))),
    )
  }

  /** As `start`; k-means runs off the main thread. */
  async startAsync(rows: Float32Array): Promise<void> {
    if (this.dataInitializer !== 'kmeans') return this.start(rows)
    const kind = { spherical: this.options.metric === 'cosine' }
    const parts: Float32Array[] = []
    for (const part of this.perGroup(this.everywhere(rows)))
      parts.push(await kmeansInit(part, this.initializerOptions, kind))
    this.set(concat(parts))
  }

  private perGroup(rows: Float32Array): Float32Array[] {
    const each = rows.length / this.groups
    return Array.from({ length: this.groups }, (_, g) => rows.subarray(g * each, (g + 1) * each))
  }

  private everywhere(rows: Float32Array): Float32Array {
    const { distributed } = this
    if (distributed === undefined) return rows
    const { embeddingDim } = this.options
    return concat(this.perGroup(rows).map(part => gatherRows(distributed, part, embeddingDim)))
  }

  /** Replaces all codes, [G·K, D] row by row, and starts their averages anew. */
  set(codes: Float32Array): void {
    expectCodes(codes, this.shape)
    tf.tidy(() => {
      const value = this.onSphere(codes)
      this.weight.assign(value)
      this.sums?.assign(this.firstSums(value))
      this.counts?.assign(this.firstCounts())
    })
    if (this.initialized !== undefined) this.initialized.value = 1
  }

  /** Moves the averages by the rows [G·M, D] and the codes [G·M] in 0 … G·K − 1 that they chose, and revives dead codes. */
  learn(rows: tf.Tensor2D, chosen: tf.Tensor1D): void {
    noGrad(() => {
      if (this.distributed !== undefined) {
        if (!this.learnTogether(rows, chosen)) return
      } else if (this.sums !== undefined && this.counts !== undefined) {
        const { decay, epsilon } = this.options
        const state = { codebook: this.weight, counts: this.counts, sums: this.sums }
        emaUpdateTensors(rows, chosen, state, { decay, epsilon })
      } else if (this.counts !== undefined) tf.tidy(() => this.countUses(uses(chosen, this.size)))
      this.backOnSphere()
      this.revive(rows)
    })
  }

  /** The part in the sums of processes that train together of one whose batch has no vector. */
  learnFromNothing(): void {
    if (this.distributed === undefined) return
    this.startFromNothing()
    tf.tidy(() => this.learn(tf.zeros([0, this.options.embeddingDim]), tf.tensor1d([], 'int32')))
  }

  /** The same where a start from data is due. */
  startFromNothing(): void {
    if (this.distributed !== undefined && !this.ready) this.start(new Float32Array(0))
  }

  private backOnSphere(): void {
    if (this.options.metric === 'cosine' && this.sums !== undefined)
      tf.tidy(() => this.weight.assign(unitRows(this.weight)))
  }

  private countUses(n: tf.Tensor1D): void {
    const { decay } = this.options
    this.counts?.assign(tf.add<tf.Tensor1D>(tf.mul(this.counts, decay), tf.mul(n, 1 - decay)))
  }

  // The statistics of the batch are summed over the processes, then every process makes the same step. Whether there was one.
  private learnTogether(rows: tf.Tensor2D, chosen: tf.Tensor1D): boolean {
    const { weight, counts, sums, distributed } = this
    if (counts === undefined || distributed === undefined) return true
    return tf.tidy(() => {
      const parts = [uses(chosen, this.size)] as tf.Tensor[]
      if (sums !== undefined) parts.push(tf.unsortedSegmentSum(rows, chosen, this.size))
      const arrays = parts.map(t => Float32Array.from(t.dataSync()))
      distributed.sum(arrays)
      if (arrays[0].every(n => n === 0)) return false
      this.countUses(tf.tensor1d(arrays[0]))
      if (sums === undefined) return true
      const { decay, epsilon } = this.options
      sums.assign(
        tf.add<tf.Tensor2D>(tf.mul(sums, decay), tf.mul(tf.tensor(arrays[1], sums.shape), 1 - decay)),
      )
      const total = tf.sum(counts)
      const smooth = tf.mul(tf.div(tf.add(counts, epsilon), tf.add(total, this.size * epsilon)), total)
      const divisor = tf.reshape(smooth, [this.size, 1])
      const moved = tf.div(sums, divisor)
      weight.assign(
        tf.where(tf.broadcastTo(tf.greater(divisor, 0), sums.shape), moved, weight) as tf.Tensor2D,
      )
      return true
    })
  }

  // #region revive
  private revive(rows: tf.Tensor2D): void {
    const { deadCodeThreshold, deadCodeReset, revivalInterval } = this.options
    const { counts } = this
    if (counts === undefined || deadCodeThreshold === 0 || ++this.steps % revivalInterval !== 0) return
    const values = (counts.dataSync() as Float32Array).slice()
    const revived = reviveDead(values, deadCodeThreshold, rows, this.groups, this.random, this.distributed)
    if (revived === undefined) return
    for (const k of revived.codes) values[k] = deadCodeReset
    tf.tidy(() => counts.assign(tf.tensor1d(values)))
    setRows(this.weight, revived)
    if (this.sums !== undefined) setRows(this.sums, revived, deadCodeReset)
  }
  // #endregion revive

  extraState(): unknown {
    if (this.options.deadCodeThreshold === 0) return undefined
    return { steps: this.steps, random: this.random.state }
  }

  loadExtraState(state: unknown): void {
    const { steps, random } = state as { steps: number; random: Random['state'] }
    this.steps = steps
    this.random.state = random
  }
}

function fromData(initCodebook: ResolvedCodebook['initCodebook']): initCodebook is DataInitializer {
  return typeof initCodebook === 'string' && Object.hasOwn(dataInitializers, initCodebook)
}

// How many rows chose each code, float32 [size].
function uses(chosen: tf.Tensor1D, size: number): tf.Tensor1D {
  return tf.unsortedSegmentSum(tf.ones([chosen.shape[0]]), chosen, size) as tf.Tensor1D
}

function concat(parts: Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]
  const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
