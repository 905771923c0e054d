import { expectConfig, expectShape, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { expectFiniteRows } from './finite.js'
import { indexValues, scatterRows, selectRows } from './rows.js'
import { type Counts, emptyUsage, histogram, perplexityOf, type Usage, usageOf } from './usage.js'
import { validRows } from './valid-rows.js'

// A type, not an interface: tf.tidy wants an index signature.
export type QuantizerOutput = {
  /** Shape of z: the code of each vector, with the estimator's gradient to z. Masked vectors are 0. */
  quantized: tf.Tensor
  /** int32 [...], or [..., Q] with Q codes per vector. Masked vectors are −1. */
  indices: tf.Tensor
  /** What to add to the training loss: the sum of `losses`. */
  loss: tf.Scalar
  /** The loss by its parts, already weighted. */
  losses: Record<string, tf.Scalar>
  /** exp of the entropy (in nats) of the codes chosen in this batch, 1 … K; of several codes per vector the mean. */
  perplexity: tf.Scalar
  /** With `levels: true`, of quantizers with one level behind another: those that were used, first to last. */
  levels?: LevelOutput[]
}

/** What one of several levels made of its vectors. */
export type LevelOutput = {
  /** What the level adds to the sum of the codes, [..., embeddingDim]; without gradient, masked vectors 0. */
  quantized: tf.Tensor
  /** exp of the entropy (in nats) of its codes in this batch, 1 … K. */
  perplexity: tf.Scalar
}

export interface QuantizeOptions {
  /** bool or int32 [...]: 0 leaves a vector out of everything. */
  mask?: tf.Tensor
  /** [B] whole numbers, for z [B, T, …, D]: vectors from that step on are left out, as by a mask. */
  lengths?: tf.Tensor | ArrayLike<number>
  /** Whether `forward` also gives what each level adds. Default false. */
  levels?: boolean
}

/** What a method computes for rows [N, D], N ≥ 1. */
export interface RowsOutput {
  quantized: tf.Tensor2D
  /** int32 [N] or [N, Q] */
  indices: tf.Tensor
  losses: Record<string, tf.Scalar>
  /** What each level adds, [N, embeddingDim], where there are several. */
  levels?: tf.Tensor2D[]
}

/**
 * The base of every quantizer of vectors z [..., D]. A method implements three functions on rows; shapes, masks,
 * statistics and refusals are the same for all.
 */
export abstract class BaseQuantizer extends Module {
  /** Length of the vectors. */
  abstract readonly dim: number
  /** Number of codes that one index can name. */
  abstract readonly codebookSize: number
  private counts: Counts | undefined

  protected abstract quantizeRows(rows: tf.Tensor2D): RowsOutput
  protected abstract encodeRows(rows: tf.Tensor2D): tf.Tensor
  /** indices: int32 [N] or [N, Q], all in range. */
  protected abstract decodeRows(indices: tf.Tensor): tf.Tensor2D
  /** The codes as vectors, [K, D]: a copy. */
  abstract codebook(): tf.Tensor
  /** Codes per vector: 0 where indices have no axis of their own. */
  protected readonly codesPerVector: number = 0
  /** Whether `decode` also takes the first few codes of each vector alone. */
  protected readonly takesFirstCodes: boolean = false
  /** Of how many codes, one behind another, the last ones may be −1, those of the other codes of a vector or not; 0: of none. */
  protected readonly runOfCodes: number = 0
  /** Whether `quantizeRows` refuses rows with NaN or infinity itself, having looked at them anyway. */
  protected readonly refusesRows: boolean = false

  /**
   * Quantizes z [..., D]. In training the codebook may move afterwards, by its own rule.
   * Throws VqShapeError for other shapes, VqValueError where an unmasked value is NaN or infinite.
   */
  forward(z: tf.Tensor, options: QuantizeOptions = {}): QuantizerOutput {
    return tf.tidy(() => {
      const { rows, valid, lead } = this.toRows('forward', z, options)
      if (rows === undefined) {
        if (this.training && !this.frozen) this.learnFromNothing()
        return { ...this.nothing(z, lead), ...(options.levels ? { levels: [] } : {}) }
      }
      if (!this.refusesRows) this.expectFinite('forward', rows)
      const { quantized, indices, losses, levels = [] } = this.quantizeRows(rows)
      const chosen = this.count(indices)
      const parts = Object.values(losses)
      const whole = (x: tf.Tensor2D): tf.Tensor =>
        tf.reshape(valid ? scatterRows(x, valid, sizeOf(lead)) : x, [...lead, x.shape[1]])
      const each = (options.levels ? levels : []).map((level, l) => ({
        quantized: whole(level),
        perplexity: tf.scalar(perplexityOf(chosen[l])),
      }))
      return {
        quantized: whole(quantized),
        indices: this.restoreIndices(indices, valid, lead),
        loss: parts.slice(1).reduce((a, b) => tf.add(a, b), parts[0] ?? tf.scalar(0)),
        losses,
        perplexity: tf.scalar(chosen.reduce((sum, c) => sum + perplexityOf(c), 0) / chosen.length),
        ...(options.levels ? { levels: each } : {}),
      }
    })
  }

  /** A training step without any vector: it takes part in what processes that train together sum up. `forward` calls it. */
  learnFromNothing(): void {}

  /** Codes of z [..., D]: int32 [...] or [..., Q]. Nothing moves, no gradient. */
  encode(z: tf.Tensor, options: QuantizeOptions = {}): tf.Tensor {
    return tf.tidy(() => {
      const { rows, valid, lead } = this.toRows('encode', z, options)
      if (rows === undefined) return this.allMasked(lead)
      this.expectFinite('encode', rows)
      const indices = this.encodeRows(rows)
      this.count(indices)
      return this.restoreIndices(indices, valid, lead)
    })
  }

  /** Vectors of codes: int32 [...] (or [..., Q]) to [..., D]; −1 gives 0. Throws VqValueError for codes out of range. */
  decode(indices: tf.Tensor): tf.Tensor {
    const operation = `${this.constructor.name}.decode`
    expectConfig(
      indices instanceof tf.Tensor,
      operation,
      'a tensor of indices',
      indices,
      'Pass what `encode` gave.',
    )
    const given = indices.shape[indices.rank - 1] ?? 0
    const all = this.codesPerVector
    const q = this.takesFirstCodes ? given : all
    expectShape(
      all === 0 || given === all || (this.takesFirstCodes && given > 0 && given < all),
      operation,
      `indices [..., ${this.takesFirstCodes ? '1 to ' : ''}${all}]`,
      `[${indices.shape.join(', ')}]`,
      'Pass all codes of each vector.',
    )
    return tf.tidy(() => {
      const width = all === 0 ? 1 : q
      const run = this.runOfCodes > 0 ? this.runOfCodes : width
      const kind = { size: this.codebookSize, width, run, part: this.takesFirstCodes || this.runOfCodes > 0 }
      const values = indexValues(operation, indices, kind)
      const lead = all === 0 ? indices.shape : indices.shape.slice(0, -1)
      const n = sizeOf(lead)
      const valid = Int32Array.from({ length: n }, (_, i) => i).filter(i => values[i * width] >= 0)
      if (valid.length === 0) return tf.zeros([...lead, this.dim])
      const flat = tf.reshape(indices, all === 0 ? [n] : [n, q])
      if (valid.length === n) return tf.reshape(this.decodeRows(flat), [...lead, this.dim])
      const some = tf.gather(flat, tf.tensor1d(valid, 'int32'))
      return tf.reshape(scatterRows(this.decodeRows(some), valid, n), [...lead, this.dim])
    })
  }

  /** How often each code was chosen by `forward` and `encode` since the start or the last `resetUsage()`. */
  usage(): Usage {
    return this.counts === undefined ? emptyUsage(this.codebookSize) : usageOf(this.counts, this.codebookSize)
  }

  resetUsage(): void {
    this.counts = undefined
  }

  // How often each code was chosen, for each of the codes of a vector that were kept.
  private count(indices: tf.Tensor): Counts[] {
    const values = indices.dataSync() as Int32Array
    const width = indices.size / indices.shape[0]
    this.counts = histogram(values, this.codebookSize, { into: this.counts })
    const each: Counts[] = []
    for (let q = 0; q < width; q++)
      if (values[q] >= 0) each.push(histogram(values, this.codebookSize, { first: q, step: width }))
    return each
  }

  // A single pass that any NaN or infinity survives.
  protected expectFinite(method: string, rows: tf.Tensor2D): void {
    const probe = tf.tidy(() => tf.sum(rows).dataSync()[0])
    expectFiniteRows(`${this.constructor.name}.${method}`, rows, probe)
  }

  protected expectLength(method: string, z: tf.Tensor): void {
    const operation = `${this.constructor.name}.${method}`
    expectConfig(z instanceof tf.Tensor, operation, 'a tensor of vectors', z, 'Make one: tf.tensor(values).')
    expectShape(
      z.rank >= 1 && z.shape[z.rank - 1] === this.dim && z.dtype === 'float32',
      operation,
      `float32 vectors [..., ${this.dim}]`,
      `a tensor [${z.shape.join(', ')}] of ${z.dtype}`,
      'Put the channels last, and give the quantizer their number.',
    )
  }

  // Unmasked rows, undefined where there are none; `valid` lists them where some are masked.
  private toRows(
    method: string,
    z: tf.Tensor,
    options: QuantizeOptions,
  ): { rows: tf.Tensor2D | undefined; valid: Int32Array | undefined; lead: number[] } {
    this.expectLength(method, z)
    const lead = z.shape.slice(0, -1)
    const rows = tf.reshape(z, [-1, this.dim]) as tf.Tensor2D
    const valid = validRows(`${this.constructor.name}.${method}`, lead, options)
    if (valid === undefined) return { rows: rows.shape[0] === 0 ? undefined : rows, valid, lead }
    return { rows: valid.length === 0 ? undefined : selectRows(rows, valid), valid, lead }
  }

  private restoreIndices(indices: tf.Tensor, valid: Int32Array | undefined, lead: number[]): tf.Tensor {
    const shape = [...lead, ...indices.shape.slice(1)]
    if (valid === undefined) return tf.reshape(indices, shape)
    const width = indices.size / valid.length
    const values = indices.dataSync()
    const all = new Int32Array(sizeOf(lead) * width).fill(-1)
    for (const [i, row] of valid.entries())
      for (let j = 0; j < width; j++) all[row * width + j] = values[i * width + j]
    return tf.tensor(all, shape, 'int32')
  }

  private allMasked(lead: number[]): tf.Tensor {
    const q = this.codesPerVector
    return tf.fill(q === 0 ? lead : [...lead, q], -1, 'int32')
  }

  private nothing(z: tf.Tensor, lead: number[]): QuantizerOutput {
    const indices = this.allMasked(lead)
    const loss = tf.scalar(0)
    return { quantized: tf.zerosLike(z), indices, loss, losses: {}, perplexity: tf.scalar(1) }
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}
