// Jégou, Douze, Schmid 2011, "Product quantization for nearest neighbor search", https://doi.org/10.1109/TPAMI.2010.57: M
// parts of a vector, each with a codebook of its own. With a rotation, Ge et al. 2013, "Optimized product quantization",
// https://doi.org/10.1109/CVPR.2013.379, section 3: R minimises ‖XR − Y‖ over rotations for the quantized Y, in turn with
// the codebooks.
import {
  covarianceOf,
  expectConfig,
  expectInteger,
  expectShape,
  nearestOrthogonal,
  noGrad,
  orderedLinear,
  type Random,
  random,
  symmetricEigen,
  tf,
} from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { kmeansInit } from '../initializers/kmeans.js'
import type { VectorQuantizerOptions } from '../vector-quantizer/options.js'
import { VectorQuantizer } from '../vector-quantizer/vector-quantizer.js'

export interface ProductQuantizerOptions
  extends Omit<VectorQuantizerOptions, 'embeddingDim' | 'heads' | 'separateCodebooks' | 'dim' | 'metric'> {
  /** Length of the vectors, a multiple of `parts`. */
  dim: number
  /** M, the number of codes of a vector. */
  parts: number
  /** Whether a rotation comes before (OPQ); `fit` finds it. Default false. */
  rotate?: boolean
}

export interface ProductFitOptions {
  /** Rounds of codebooks and rotation in turn; only with `rotate`. Default 20. */
  rotations?: number
  /** k-means iterations of the final codebooks. Default 25. */
  iterations?: number
}

/**
 * A codebook of K codes for each of M neighbouring parts: indices [..., M]. It learns as a {@link VectorQuantizer} with
 * separate heads does, or from data at once by `fit`. State: that of the heads under `parts`, and the buffer `rotation`
 * [dim, dim], by which rows are multiplied.
 *
 * @example
 * const pq = new ProductQuantizer({ dim: 128, parts: 8, numEmbeddings: 256, rotate: true })
 * await pq.fit(vectors)
 */
export class ProductQuantizer extends BaseQuantizer {
  protected override readonly codesPerVector: number
  readonly dim: number
  readonly codebookSize: number
  readonly parts: VectorQuantizer
  private readonly rotation: tf.Variable<tf.Rank.R2> | undefined
  private readonly random: Random

  constructor(options: ProductQuantizerOptions) {
    super()
    expectOptions('ProductQuantizer', options, '{ dim: 128, parts: 8, numEmbeddings: 256 }')
    const { dim, parts, rotate = false, ...rest } = options
    expectInteger('ProductQuantizer', 'dim', dim, 1, 2 ** 31 - 1)
    expectInteger('ProductQuantizer', 'parts', parts, 1, dim)
    expectConfig(
      dim % parts === 0,
      'ProductQuantizer',
      'parts to divide dim',
      parts,
      `Use a divisor of ${dim}.`,
    )
    this.dim = dim
    this.codesPerVector = parts
    this.random = options.random ?? random
    const heads = { heads: parts, embeddingDim: dim / parts, separateCodebooks: true }
    this.parts = this.addModule('parts', new VectorQuantizer({ ...rest, ...heads }))
    this.codebookSize = this.parts.codebookSize
    if (rotate) this.rotation = this.addBuffer('rotation', tf.eye(dim))
  }

  /** False while a start from data still waits for `initialize` or `fit`. */
  get ready(): boolean {
    return this.parts.ready
  }

  /** Makes the first codes from vectors [..., dim], as {@link VectorQuantizer.initialize}. */
  async initialize(vectors: tf.Tensor): Promise<void> {
    this.expectLength('initialize', vectors)
    const turned = tf.tidy(() => {
      const rows = tf.reshape(vectors, [-1, this.dim]) as tf.Tensor2D
      this.expectFinite('initialize', rows)
      return this.turn(rows)
    })
    try {
      await this.parts.initialize(turned)
    } finally {
      turned.dispose()
    }
  }

  /**
   * Sets the codebooks, and the rotation, to what is best for vectors [N, dim], row by row or as a tensor [..., dim], N at
   * least K: k-means of each part. The rotation starts as none, and as the vectors' principal axes dealt out to the parts
   * (Ge et al., section 4.2); the better goes on. `usage()` starts anew. Returns the mean squared error per element.
   */
  async fit(
    vectors: Float32Array | tf.Tensor,
    { rotations = 20, iterations = 25 }: ProductFitOptions = {},
  ): Promise<number> {
    expectInteger('ProductQuantizer.fit', 'rotations', rotations, 0)
    expectInteger('ProductQuantizer.fit', 'iterations', iterations, 0)
    const x = this.rowsOf(vectors)
    try {
      this.expectFinite('fit', x)
      if (this.rotation === undefined) await this.setCodebooks(x, iterations)
      else await this.findRotation(x, this.rotation, rotations, iterations)
      return tf.tidy(() => this.errorOf(x))
    } finally {
      // What was counted were other codes.
      this.resetUsage()
      this.parts.resetUsage()
      x.dispose()
    }
  }

  private rowsOf(vectors: Float32Array | tf.Tensor): tf.Tensor2D {
    const { dim } = this
    if (vectors instanceof Float32Array) {
      expectShape(
        vectors.length % dim === 0,
        'ProductQuantizer.fit',
        `vectors of ${dim} numbers`,
        `${vectors.length} numbers`,
        'Pass vectors behind one another.',
      )
      return tf.tensor2d(vectors.slice(), [vectors.length / dim, dim])
    }
    this.expectLength('fit', vectors)
    return tf.reshape(vectors, [-1, dim]) as tf.Tensor2D
  }

  private errorOf(x: tf.Tensor2D): number {
    return tf.mean(tf.square(tf.sub(x, this.decode(this.encode(x))))).dataSync()[0]
  }

  private async findRotation(
    x: tf.Tensor2D,
    rotation: tf.Variable<tf.Rank.R2>,
    rounds: number,
    iterations: number,
  ): Promise<void> {
    const { dim } = this
    const trial = Math.ceil(rounds / 4)
    const found: { error: number; rotation: Float32Array; codes: Float32Array }[] = []
    for (const start of [identity(dim), this.dealtAxes(x)]) {
      assign(rotation, start)
      await this.alternate(x, rotation, trial, false)
      const [turn, codes] = [rotation, this.parts.table].map(t => Float32Array.from(t.dataSync()))
      found.push({ error: tf.tidy(() => this.errorOf(x)), rotation: turn, codes })
    }
    const best = found[1].error < found[0].error ? found[1] : found[0]
    assign(rotation, best.rotation)
    this.parts.setCodebook(best.codes)
    await this.alternate(x, rotation, rounds - trial, true)
    await this.turned(x, rows => this.setCodebooks(rows, iterations, true))
  }

  // The best codes for the rotation, then the best rotation for the codes, `rounds` times, and codes once more.
  private async alternate(
    x: tf.Tensor2D,
    rotation: tf.Variable<tf.Rank.R2>,
    rounds: number,
    warm: boolean,
  ): Promise<void> {
    for (let round = 0; round <= rounds; round++)
      await this.turned(x, async rows => {
        await this.setCodebooks(rows, round === 0 && !warm ? 10 : 1, round > 0 || warm)
        if (round === rounds) return
        const product = tf.tidy(() => {
          const y = this.parts.decode(this.parts.encode(rows)) as tf.Tensor2D
          return tf.matMul(x, y, true, false) // XᵀY: R is its nearest rotation
        })
        assign(rotation, nearestOrthogonal(Float64Array.from(product.dataSync()), this.dim))
        product.dispose()
      })
  }

  private async turned(x: tf.Tensor2D, use: (rows: tf.Tensor2D) => Promise<void>): Promise<void> {
    const rows = tf.tidy(() => this.turn(x))
    try {
      await use(rows)
    } finally {
      rows.dispose()
    }
  }

  // Codebooks of the parts by k-means, from the codes there are where `warm`.
  private async setCodebooks(turned: tf.Tensor2D, iterations: number, warm = false): Promise<void> {
    const { codesPerVector: m, dim, codebookSize: k } = this
    const parts = tf.tidy(() => (m === 1 ? [tf.clone(turned)] : tf.split(turned, m, 1)))
    const before = this.parts.table.dataSync<'float32'>()
    const codes = new Float32Array(k * dim)
    const each = (k * dim) / m
    const options = { numEmbeddings: k, embeddingDim: dim / m, random: this.random }
    for (const [i, part] of parts.entries()) {
      const start = warm ? { init: before.slice(i * each, (i + 1) * each) } : {}
      codes.set(await kmeansInit(await part.data<'float32'>(), options, { iterations, ...start }), i * each)
      part.dispose()
    }
    this.parts.setCodebook(codes)
  }

  // Columns: the principal axes, dealt out so that the products of the variances are as equal as can be: each axis, widest
  // first, goes to the part with the smallest product that still has room.
  private dealtAxes(x: tf.Tensor2D): Float64Array {
    const { dim, codesPerVector: parts } = this
    const { values, vectors } = symmetricEigen(covarianceOf(x.dataSync<'float32'>(), dim).covariance, dim)
    const held: number[][] = Array.from({ length: parts }, () => [])
    const logs = new Float64Array(parts)
    const least = Math.max(values[0], 1e-30) * 1e-12
    for (let axis = 0; axis < dim; axis++) {
      let to = -1
      for (let p = 0; p < parts; p++)
        if (held[p].length < dim / parts && (to < 0 || logs[p] < logs[to])) to = p
      held[to].push(axis)
      logs[to] += Math.log(Math.max(values[axis], least) / least)
    }
    const rotation = new Float64Array(dim * dim)
    for (const [column, axis] of held.flat().entries())
      for (let d = 0; d < dim; d++) rotation[d * dim + column] = vectors[axis * dim + d]
    return rotation
  }

  private turn(rows: tf.Tensor2D): tf.Tensor2D {
    return this.rotation === undefined ? tf.clone(rows) : (orderedLinear(rows, this.rotation) as tf.Tensor2D)
  }

  private turnBack(rows: tf.Tensor2D): tf.Tensor2D {
    if (this.rotation === undefined) return rows
    return orderedLinear(rows, tf.transpose(this.rotation)) as tf.Tensor2D
  }

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const { quantized, indices, losses } = this.parts.forward(this.turn(rows))
    return { quantized: this.turnBack(quantized as tf.Tensor2D), indices: this.asCodes(indices), losses }
  }

  override learnFromNothing(): void {
    this.parts.learnFromNothing()
  }

  // A single part has no axis of codes of its own.
  private asCodes(indices: tf.Tensor): tf.Tensor {
    return tf.reshape(indices, [-1, this.codesPerVector])
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return noGrad(() => this.asCodes(this.parts.encode(this.turn(rows))))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => {
      const codes = this.codesPerVector === 1 ? tf.reshape(indices, [-1]) : indices
      return this.turnBack(this.parts.decode(codes) as tf.Tensor2D)
    })
  }

  /** [M, K, dim/M], of the turned vectors. */
  codebook(): tf.Tensor3D {
    const { codesPerVector: m, codebookSize: k, dim } = this
    return tf.tidy(() => tf.reshape(this.parts.codebook(), [m, k, dim / m]) as tf.Tensor3D)
  }
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0))
}

function assign(rotation: tf.Variable<tf.Rank.R2>, values: ArrayLike<number>): void {
  tf.tidy(() => rotation.assign(tf.tensor2d(Float32Array.from(values), rotation.shape)))
}
