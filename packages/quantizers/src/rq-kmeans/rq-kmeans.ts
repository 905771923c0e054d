// Residual quantization by k-means: Juang and Gray 1982, "Multiple stage vector quantization for speech coding"; Chen, Guan,
// Wang 2010, "Approximate nearest neighbor search by residual vector quantization", https://doi.org/10.3390/s101211259:
//   r_0 = x,  k_s = argmin_k ‖r_{s−1} − c_{s,k}‖²,  r_s = r_{s−1} − c_{s,k_s},  C_s = k-means of all r_{s−1}.
import { existsSync } from 'node:fs'
import {
  describe,
  expectNumber,
  expectShape,
  kmeans,
  type ResidualEncodeResult,
  residualEncode,
  tf,
  VqAbortError,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { ResidualVQ } from '../residual-vq/residual-vq.js'
import { mostRows, moveExcess } from './balance.js'
import { type FitProgress, type FitState, fitStages } from './fit.js'
import { type Resolved, type RQKMeansOptions, resolve } from './options.js'
import { type QuantizationQuality, qualityOf } from './quality.js'
import { RowStore } from './row-store.js'
import { blockOf, blocksOf, type RowSource, type Rows } from './source.js'
import {
  areNumbers,
  expectStored,
  floats,
  isCount,
  loadFitState,
  readFile,
  saveFitState,
  storedFloats,
  writeFile,
} from './storage.js'
import { Turn } from './turn.js'

export interface RQKMeansFitOptions {
  onProgress?: (progress: FitProgress) => void
  /** Ends the fit early with an AbortError; with a checkpoint it can go on. */
  signal?: AbortSignal
  /** A file that is told, every few seconds and at the end of a stage, where the fit stands. */
  checkpoint?: string
  /** Goes on from `checkpoint` where that file is there. Default false. */
  resume?: boolean
}

export interface StageReconstruction {
  /** From 0. */
  stage: number
  /** [N], the codes of this stage. */
  codes: Int32Array
  /** [N, dim], the sum of the chosen centroids up to this stage. */
  reconstruction: Float32Array
  /** Mean squared error per element. */
  mse: number
}

export interface KmeansComparison {
  /** Of the residual quantizer. */
  residual: { mse: number; bits: number; codebookNumbers: number }
  /** Of plain k-means. `equalBits`: whether it has as many bits; else as many as its limit allows. */
  plain: { mse: number; bits: number; codebookNumbers: number; clusters: number; equalBits: boolean }
}

const kind = 'vq-rq-kmeans'
// Milliseconds between two checkpoints.
const pause = 3000

/**
 * Q codebooks by k-means of what the ones before leave; nothing is trained by gradients. Rows come as typed arrays, tensors
 * [N, dim], or block by block from an (async) iterable, which is gone through once: memory is bounded by `memoryLimit`, two
 * blocks of 2 MB, and 4·(Q + 1) bytes per row for the codes.
 *
 * @example
 * const rq = new RQKMeans({ nClusters: 256, nStages: 4, dim: 64 })
 * await rq.fit(vectors)
 * const codes = rq.getCodes(vectors)   // Int32Array [N, 4]
 */
export class RQKMeans {
  readonly options: Readonly<Resolved>
  private fitted: { dim: number; books: Float32Array[] } | undefined
  private codes: Int32Array[] | undefined
  /** Mean squared error per element of the fitted rows after each stage. */
  stageErrors: readonly number[] = []

  /** Throws VqConfigError for options out of range. */
  constructor(options: RQKMeansOptions = {}) {
    this.options = resolve(options)
  }

  /**
   * Fits all stages. The seed fixes the result to the bit, whatever the machine and however the rows are cut into blocks.
   * Throws VqConfigError for fewer rows than clusters, VqShapeError, VqValueError naming a row that is not finite, AbortError.
   */
  async fit(source: RowSource, fitOptions: RQKMeansFitOptions = {}): Promise<this> {
    const { onProgress, signal, checkpoint, resume = false } = fitOptions
    if (resume && checkpoint === undefined)
      throw new VqConfigError({
        operation: 'RQKMeans.fit',
        expected: 'a checkpoint to go on from',
        received: 'resume without checkpoint',
        remedy: 'Pass the file that the fit wrote: fit(rows, { checkpoint, resume: true }).',
      })
    const from = resume && checkpoint !== undefined ? await this.stateIn(checkpoint) : undefined
    let saved = performance.now()
    let stage = 0
    let latest: FitState | undefined
    const save = async (): Promise<void> => {
      if (checkpoint === undefined || latest === undefined) return
      await saveFitState(checkpoint, this.options, latest)
      saved = performance.now()
    }
    const hooks = {
      turn: new Turn('RQKMeans.fit', signal),
      from,
      onProgress: (progress: FitProgress): void => {
        if (this.options.verbose) process.stderr.write(`${lineOf(progress)}\n`)
        onProgress?.(progress)
      },
      onState: async (state: FitState): Promise<void> => {
        latest = state
        if (state.done.length === stage && performance.now() - saved < pause) return
        stage = state.done.length
        await save()
      },
    }
    const found = await fitStages(source, this.options, hooks).catch(async error => {
      if (error instanceof VqAbortError) await save()
      throw error
    })
    this.fitted = { dim: found.dim, books: found.books }
    this.codes = found.codes
    this.stageErrors = found.stageErrors
    return this
  }

  private async stateIn(checkpoint: string): Promise<FitState | undefined> {
    const stored = existsSync(checkpoint) ? await loadFitState(checkpoint) : undefined
    if (stored === undefined) return undefined
    const settings = ({ verbose: _, memoryLimit: __, dim: ___, ...rest }: Resolved): string =>
      JSON.stringify(rest)
    if (settings(stored.options) !== settings(this.options))
      throw new VqConfigError({
        operation: 'RQKMeans.fit',
        expected: `the options of the checkpoint, ${settings(stored.options)}`,
        received: settings(this.options),
        remedy: 'Go on with the options that the fit began with, or begin anew without resume.',
      })
    return stored.state
  }

  private get model(): { dim: number; books: Float32Array[] } {
    if (this.fitted !== undefined) return this.fitted
    throw new VqConfigError({
      operation: 'RQKMeans',
      expected: 'a fitted model',
      received: 'one without codebooks',
      remedy: 'Call `await rq.fit(rows)` or `await RQKMeans.load(path)` before.',
    })
  }

  /** Length of a row. */
  get dim(): number {
    return this.model.dim
  }

  /** The codebooks, [K, dim] each, row by row: copies. */
  get codebooks(): Float32Array[] {
    return this.model.books.map(b => b.slice())
  }

  /**
   * The codes of the fitted rows, [N, Q]; with `maxShare` no code holds more than its share of them. Only after `fit`, not after
   * `load`.
   */
  get trainingCodes(): Int32Array {
    if (this.codes === undefined) void this.model
    const codes = this.codes ?? []
    const [q, n] = [codes.length, codes[0]?.length ?? 0]
    return Int32Array.from({ length: n * q }, (_, i) => codes[i % q][Math.floor(i / q)])
  }

  private encode(operation: string, rows: Rows, beam: number = this.options.beamSize): ResidualEncodeResult {
    const { books, dim } = this.model
    const { values } = blockOf(`RQKMeans.${operation}`, rows, dim)
    return residualEncode(values, books, { dim, beam })
  }

  /** Codes of rows [N, dim], [N, Q]: an Int32Array for a typed array, a tensor for a tensor. */
  getCodes<R extends Rows>(rows: R): Like<R, Int32Array> {
    const { codes } = this.encode('getCodes', rows)
    return this.like(rows, codes, this.options.nStages)
  }

  /**
   * Codes of rows such that in each stage no code holds more than `maxShare` of them (default: the option's): each row takes
   * the nearest code, and where that is overfull those move for which another costs least.
   */
  async getBalancedCodes<R extends Rows>(
    rows: R,
    { maxShare = this.options.maxShare, signal }: { maxShare?: number; signal?: AbortSignal } = {},
  ): Promise<Like<R, Int32Array>> {
    const { books, dim } = this.model
    const turn = new Turn('RQKMeans.getBalancedCodes', signal)
    const { values } = blockOf('RQKMeans.getBalancedCodes', rows, dim)
    const n = values.length / dim
    const { nClusters } = this.options
    expectNumber('RQKMeans.getBalancedCodes', 'maxShare', maxShare, 1 / nClusters, 1)
    const most = mostRows(maxShare, n, nClusters)
    const all = new Int32Array(n * books.length)
    const left = new RowStore(dim, Number.MAX_SAFE_INTEGER)
    try {
      left.append(values)
      for (const [s, book] of books.entries()) {
        const { codes } = residualEncode(left.gather(Int32Array.from({ length: n }, (_, i) => i)), [book], {
          dim,
        })
        await moveExcess(left, book, codes, most, turn)
        for (let i = 0; i < n; i++) all[i * books.length + s] = codes[i]
        for (let b = 0; b < left.blocks; b++)
          left.visit(b, (block, first) => {
            for (let i = 0; i < block.length; i++)
              block[i] -= book[codes[first + Math.floor(i / dim)] * dim + (i % dim)]
            return true
          })
      }
    } finally {
      left.close()
    }
    return this.like(rows, all, books.length)
  }

  /** Rows [N, dim] as their codes give them back, [N, dim]. */
  transform<R extends Rows>(rows: R): Like<R, Float32Array> {
    return this.like(rows, this.encode('transform', rows).quantized, this.dim)
  }

  /** `fit`, then `transform`. */
  async fitTransform<R extends Rows>(
    rows: R,
    options: RQKMeansFitOptions = {},
  ): Promise<Like<R, Float32Array>> {
    await this.fit(rows, options)
    return this.transform(rows)
  }

  /** Codes of rows that come block by block. */
  async *encodeBlocks(source: RowSource): AsyncGenerator<Int32Array> {
    for await (const { values } of blocksOf('RQKMeans.encodeBlocks', source, this.dim))
      yield this.encode('encodeBlocks', values).codes
  }

  /**
   * Rows of codes, [N, dim]. codes: [N, Q], or with `stages` (or a narrower tensor) the codes of the first stages alone. Throws
   * VqShapeError, VqValueError for codes out of range.
   */
  reconstructFromCodes<C extends Int32Array | tf.Tensor2D>(
    codes: C,
    { stages }: { stages?: number } = {},
  ): Like<C, Float32Array> {
    const { books, dim } = this.model
    const operation = 'RQKMeans.reconstructFromCodes'
    const q = codes instanceof tf.Tensor ? (codes.shape[1] as number) : (stages ?? books.length)
    const values: unknown = codes instanceof tf.Tensor ? codes.dataSync<'int32'>() : codes
    if (!(values instanceof Int32Array) || !(q >= 1 && q <= books.length) || values.length % q !== 0)
      throw new VqShapeError({
        operation,
        expected: `int32 codes [N, 1 to ${books.length}]`,
        received: `${describe(values)} for ${q} stages`,
        remedy: 'Pass the codes of a row behind one another.',
      })
    const n = values.length / q
    const rows = new Float32Array(n * dim)
    for (let i = 0; i < n; i++)
      for (let s = 0; s < q; s++) {
        const c = values[i * q + s]
        if (!(c >= 0 && c < books[s].length / dim))
          throw new VqValueError({
            operation,
            expected: `codes from 0 to ${books[s].length / dim - 1}`,
            received: `${c} in row ${i}, stage ${s}`,
            remedy: 'Use the model that made the codes.',
          })
        for (let d = 0; d < dim; d++) rows[i * dim + d] += books[s][c * dim + d]
      }
    return this.like(codes, rows, dim)
  }

  private like<R extends Rows | Int32Array, T extends Float32Array | Int32Array>(
    input: R,
    values: T,
    width: number,
  ): Like<R, T> {
    if (!(input instanceof tf.Tensor)) return values as unknown as Like<R, T>
    const dtype = values instanceof Int32Array ? 'int32' : 'float32'
    return tf.tensor2d(values, [values.length / width, width], dtype) as Like<R, T>
  }

  /** Mean squared error per element of rows [N, dim]. Throws VqShapeError where there are none. */
  calculateReconstructionError(rows: Rows): number {
    const { errors } = this.encode('calculateReconstructionError', rows)
    expectShape(
      errors.length > 0,
      'RQKMeans.calculateReconstructionError',
      `at least one row of ${this.dim} numbers`,
      'none',
      'An error is a mean over rows.',
    )
    return errors.reduce((a, b) => a + b, 0) / (errors.length * this.dim)
  }

  /** Errors, use of the codes and compression, stage by stage, for rows [N, dim]. */
  analyzeQuantizationQuality(rows: Rows): QuantizationQuality {
    const { books, dim } = this.model
    const { values } = blockOf('RQKMeans.analyzeQuantizationQuality', rows, dim)
    return qualityOf(values, books, dim, this.options.beamSize)
  }

  /** What rows [N, dim] become with one stage, two, and so on. */
  getQuantizationHierarchy(rows: Rows): StageReconstruction[] {
    const { books, dim } = this.model
    const { values } = blockOf('RQKMeans.getQuantizationHierarchy', rows, dim)
    const { codes } = residualEncode(values, books, { dim, beam: this.options.beamSize })
    const q = books.length
    return books.map((_, stage) => {
      const first = Int32Array.from(
        { length: (codes.length / q) * (stage + 1) },
        (_, i) => codes[Math.floor(i / (stage + 1)) * q + (i % (stage + 1))],
      )
      const reconstruction = this.reconstructFromCodes(first, { stages: stage + 1 })
      const mse = values.reduce((sum, x, i) => sum + (x - reconstruction[i]) ** 2, 0) / values.length
      return {
        stage,
        codes: Int32Array.from({ length: codes.length / q }, (_, i) => codes[i * q + stage]),
        reconstruction,
        mse,
      }
    })
  }

  /** Bits of a float32 row over the bits of its codes: 32·dim / (Q·log2 K). */
  getCompressionRatio(): number {
    return (32 * this.dim) / (this.options.nStages * Math.log2(this.options.nClusters))
  }

  /**
   * Beside plain k-means on rows [N, dim], both fitted before to the same ones or not: with K^Q clusters, as many bits, where
   * these are at most `maxClusters` (default 65,536, and a quarter of the rows), else with that many.
   */
  async compareWithKmeans(
    rows: Rows,
    {
      maxClusters = 65_536,
      iterations = 25,
      signal,
    }: { maxClusters?: number; iterations?: number; signal?: AbortSignal } = {},
  ): Promise<KmeansComparison> {
    const { books, dim } = this.model
    const { values } = blockOf('RQKMeans.compareWithKmeans', rows, dim)
    const n = values.length / dim
    const { nClusters, nStages, randomState } = this.options
    const wanted = nClusters ** nStages
    const clusters = Math.max(1, Math.min(wanted, maxClusters, Math.floor(n / 4)))
    const seed = { seed: randomState, ...(signal === undefined ? {} : { signal }) }
    const plain = await kmeans(values.slice(), { k: clusters, dim, iterations, ...seed })
    return {
      residual: {
        mse: this.calculateReconstructionError(values),
        bits: nStages * Math.log2(nClusters),
        codebookNumbers: books.reduce((sum, b) => sum + b.length, 0),
      },
      plain: {
        mse: plain.inertia / values.length,
        bits: Math.log2(clusters),
        codebookNumbers: clusters * dim,
        clusters,
        equalBits: clusters === wanted,
      },
    }
  }

  /** The same codebooks as a quantizer of tensors, frozen and in evaluation mode, for use in models. */
  toQuantizer(): ResidualVQ {
    const { books, dim } = this.model
    const { nClusters, nStages, beamSize } = this.options
    let level = 0
    const quantizer = new ResidualVQ({
      numEmbeddings: nClusters,
      embeddingDim: dim,
      numQuantizers: nStages,
      beamSize,
      initCodebook: () => books[level++],
    })
    return quantizer.freeze().eval()
  }

  /** Writes options and codebooks to a safetensors file, atomically. */
  async save(path: string): Promise<void> {
    const { books, dim } = this.model
    const tensors = Object.fromEntries(
      books.map((book, s) => [`codebooks.${s}`, floats(book, [book.length / dim, dim])]),
    )
    await writeFile(path, kind, this.options, tensors, { dim, stageErrors: this.stageErrors })
  }

  /** Reads what `save` wrote. Throws VqFormatError for another file. */
  static async load(path: string): Promise<RQKMeans> {
    const { options, tensors, more } = await readFile(path, kind)
    const { dim, stageErrors } = more
    const rq = new RQKMeans(options)
    const { nClusters, nStages } = rq.options
    expectStored(isCount(dim, 1), path, 'the length of a row')
    expectStored(areNumbers(stageErrors, nStages), path, `the errors of ${nStages} stages`)
    const books = Array.from({ length: nStages }, (_, s) =>
      storedFloats(path, tensors, `codebooks.${s}`, [nClusters, dim]),
    )
    rq.fitted = { dim, books }
    rq.stageErrors = stageErrors
    return rq
  }
}

/** A tensor where a tensor came in, a typed array where one came in. */
export type Like<I, T> = I extends tf.Tensor ? tf.Tensor2D : T

function lineOf({ stage, stages, attempt, iteration, inertia }: FitProgress): string {
  return `RQKMeans: stage ${stage + 1} of ${stages}, start ${attempt + 1}, iteration ${iteration}: inertia ${inertia.toPrecision(7)}`
}
