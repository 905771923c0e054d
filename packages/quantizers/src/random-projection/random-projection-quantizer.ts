// Chiu et al. 2022, "Self-supervised learning with random-projection quantizer for speech recognition" (BEST-RQ),
// https://arxiv.org/abs/2202.01855, section 3.1: y = argmin_i ‖norm(c_i) − norm(A·x)‖, A and c fixed random numbers.
import {
  expectInteger,
  nearestCode,
  noGrad,
  orderedLinear,
  type Random,
  random,
  symmetricEigen,
  tf,
} from '@vq/core'
import { expectOptions } from '../base/expect-options.js'
import { blamingRows } from '../base/finite.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'
import { straightThrough } from '../estimators/straight-through.js'

export interface RandomProjectionQuantizerOptions {
  /** Length of the vectors. */
  dim: number
  /** K, the number of codes. */
  numEmbeddings: number
  /** Length of a code, at most dim. Default 16. */
  embeddingDim?: number
  /** Codebooks, each with a projection of its own; indices are [..., numCodebooks] where there are several. Default 1. */
  numCodebooks?: number
  /** Draws everything. Default: the global generator. */
  random?: Random
}

/**
 * Labels for self-supervised training: nothing is learned, and there is no loss. `quantized` is, of the vectors that lie in
 * the span of A, the one whose projection is the unit code (its length means nothing); of several codebooks the mean. The
 * gradient passes straight through. Vectors should be normalised before (mean 0, deviation 1), as in the paper.
 *
 * State: the buffers `projection` [H, dim, D], uniform as Glorot's, and `codebook` [H, K, D], unit normal directions.
 *
 * @example
 * const labels = new RandomProjectionQuantizer({ dim: 80, numEmbeddings: 8192 }).encode(frames)
 */
export class RandomProjectionQuantizer extends BaseQuantizer {
  protected override readonly codesPerVector: number
  readonly dim: number
  readonly codebookSize: number
  readonly embeddingDim: number
  private readonly heads: number
  private readonly projection: tf.Variable<tf.Rank.R3>
  private readonly codes: tf.Variable<tf.Rank.R3>

  constructor(options: RandomProjectionQuantizerOptions) {
    super()
    expectOptions('RandomProjectionQuantizer', options, '{ dim: 80, numEmbeddings: 8192 }')
    const { dim, numEmbeddings: k, numCodebooks: heads = 1, random: generator = random } = options
    const name = 'RandomProjectionQuantizer'
    expectInteger(name, 'dim', dim, 1, 2 ** 31 - 1)
    const { embeddingDim = Math.min(16, dim) } = options
    expectInteger(name, 'numEmbeddings', k, 1, 2 ** 31 - 1)
    expectInteger(name, 'embeddingDim', embeddingDim, 1, dim)
    expectInteger(name, 'numCodebooks', heads, 1, 2 ** 20)
    this.dim = dim
    this.codebookSize = k
    this.embeddingDim = embeddingDim
    this.heads = heads
    this.codesPerVector = heads > 1 ? heads : 0
    const limit = Math.sqrt(6 / (dim + embeddingDim))
    const projection = generator.fillUniform(new Float32Array(heads * dim * embeddingDim), -limit, limit)
    this.projection = this.addBuffer('projection', tf.tensor3d(projection, [heads, dim, embeddingDim]))
    const codes = generator.fillNormal(new Float32Array(heads * k * embeddingDim))
    normalise(codes, embeddingDim)
    this.codes = this.addBuffer('codebook', tf.tensor3d(codes, [heads, k, embeddingDim]))
  }

  private of(values: tf.Tensor3D, head: number): tf.Tensor2D {
    const [, rows, columns] = values.shape
    return tf.reshape(tf.slice(values, [head, 0, 0], [1, rows, columns]), [rows, columns])
  }

  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const { indices, q } = noGrad(() => {
      const indices = this.search('forward', rows)
      return { indices, q: this.decodeRows(indices) }
    })
    return { quantized: straightThrough(rows, q), indices, losses: {} }
  }

  private search(method: string, rows: tf.Tensor2D): tf.Tensor {
    const found = Array.from({ length: this.heads }, (_, h) => {
      const projected = orderedLinear(rows, this.of(this.projection, h))
      return blamingRows(`RandomProjectionQuantizer.${method}`, rows, () =>
        nearestCode(projected, this.of(this.codes, h), { metric: 'cosine' }),
      )
    })
    return this.heads === 1 ? found[0] : tf.stack(found, 1)
  }

  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return noGrad(() => this.search('encode', rows))
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => {
      const n = indices.shape[0]
      const parts = Array.from({ length: this.heads }, (_, h) => {
        const chosen = this.heads === 1 ? indices : tf.reshape(tf.slice(indices, [0, h], [n, 1]), [n])
        return orderedLinear(
          tf.gather(this.of(this.codes, h), chosen as tf.Tensor1D),
          this.wayBack(h),
        ) as tf.Tensor2D
      })
      let sum = parts[0]
      for (const part of parts.slice(1)) sum = tf.add(sum, part)
      return this.heads === 1 ? sum : tf.div(sum, this.heads)
    })
  }

  // The pseudo-inverse of A: (AᵀA)⁻¹Aᵀ, [D, dim], by the eigenvectors of AᵀA.
  private wayBack(head: number): tf.Tensor2D {
    const { embeddingDim: d, dim } = this
    const a = this.of(this.projection, head).dataSync<'float32'>()
    const product = new Float64Array(d * d)
    for (let row = 0; row < dim; row++)
      for (let i = 0; i < d; i++)
        for (let j = 0; j < d; j++) product[i * d + j] += a[row * d + i] * a[row * d + j]
    const { values, vectors } = symmetricEigen(product, d)
    const back = new Float32Array(d * dim)
    const turned = new Float64Array(d)
    for (let row = 0; row < dim; row++) {
      for (let e = 0; e < d; e++) {
        turned[e] = 0
        for (let i = 0; i < d; i++) turned[e] += vectors[e * d + i] * a[row * d + i]
        turned[e] /= Math.max(values[e], values[0] * 1e-12)
      }
      for (let i = 0; i < d; i++) {
        let sum = 0
        for (let e = 0; e < d; e++) sum += vectors[e * d + i] * turned[e]
        back[i * dim + row] = sum
      }
    }
    return tf.tensor2d(back, [d, dim])
  }

  /** Unit codes, [K, D]; [numCodebooks, K, D] of several. */
  codebook(): tf.Tensor {
    return tf.tidy(() => (this.heads === 1 ? this.of(this.codes, 0) : tf.clone(this.codes)))
  }
}

function normalise(codes: Float32Array, dim: number): void {
  for (let at = 0; at < codes.length; at += dim) {
    const norm = Math.hypot(...codes.subarray(at, at + dim))
    for (let d = 0; d < dim; d++) codes[at + d] /= norm
  }
}
