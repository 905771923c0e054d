// Jang et al. 2016, "Categorical reparameterization with Gumbel-softmax", https://arxiv.org/abs/1611.01144:
//   y = softmax((ℓ + g)/τ),  g = −log(−log u),  u ~ U(0, 1)                          (equations 1 and 2)
//   q = Σ_k y_k·e_k; or e_argmax(y) with the gradient of that sum: straight-through  (section 2.2)
// ℓ is a linear layer of z, as in DALL·E (https://arxiv.org/abs/2102.12092) and vq-wav2vec
// (https://arxiv.org/abs/1910.05453), or minus the squared distances to the codes. In evaluation q = e_argmax(ℓ).
// The prior is uniform: loss w·KL(softmax(ℓ) ‖ 1/K) = w·(log K + Σ_k p_k·log p_k), a mean over vectors.
import {
  customGradient,
  expectInteger,
  expectNumber,
  expectOneOf,
  gumbelSoftmax,
  nearestCode,
  noGrad,
  type Random,
  random,
  tf,
} from '@vq/core'
import { Linear, Module } from '@vq/core/nn'
import { expectOptions } from '../base/expect-options.js'
import { BaseQuantizer, type RowsOutput } from '../base/quantizer.js'

export interface GumbelQuantizerOptions {
  /** K, the number of codes. */
  numEmbeddings: number
  /** D, the length of a vector and of a code. */
  embeddingDim: number
  /** Where the logits come from: a linear layer, or minus the squared distances to the codes. Default 'linear'. */
  logits?: 'linear' | 'distance'
  /** τ > 0; `temperature` sets another. Default 1. */
  temperature?: number
  /** Whether training takes one code at a time, with the gradient of the soft sum. Default false: the sum itself. */
  straightThrough?: boolean
  /** w, the weight of the divergence from the uniform distribution. Default 5e-4. */
  klWeight?: number
  /** Draws the first parameters and the noise. Default: the global generator. */
  random?: Random
}

/**
 * A codebook from which training draws codes by Gumbel noise, softly, at a temperature that the caller lowers; evaluation
 * takes the likeliest. Indices in training are the largest of y.
 *
 * Parameters: `proj.weight` [K, D] on disk and `proj.bias` [K] (with linear logits), and `embed.weight` [K, D]. Losses: `kl`.
 *
 * @example
 * const quantizer = new GumbelQuantizer({ numEmbeddings: 512, embeddingDim: 64 })
 * quantizer.temperature = Math.max(0.1, 0.9999 ** step)
 */
export class GumbelQuantizer extends BaseQuantizer {
  readonly dim: number
  readonly codebookSize: number
  readonly straightThrough: boolean
  readonly klWeight: number
  /** The codes themselves, [K, D]. */
  readonly table: tf.Variable<tf.Rank.R2>
  private readonly proj: Linear | undefined
  private readonly random: Random
  private tau = 1

  constructor(options: GumbelQuantizerOptions) {
    super()
    const name = 'GumbelQuantizer'
    expectOptions(name, options, '{ numEmbeddings: 512, embeddingDim: 64 }')
    const { numEmbeddings: k, embeddingDim: d, logits = 'linear', temperature = 1 } = options
    const { straightThrough = false, klWeight = 5e-4 } = options
    expectInteger(name, 'numEmbeddings', k, 1)
    expectInteger(name, 'embeddingDim', d, 1)
    expectOneOf(name, 'logits', logits, ['linear', 'distance'])
    expectNumber(name, 'klWeight', klWeight, 0, Number.MAX_VALUE)
    this.dim = d
    this.codebookSize = k
    this.straightThrough = straightThrough
    this.klWeight = klWeight
    this.random = options.random ?? random
    this.temperature = temperature
    if (logits === 'linear')
      this.proj = this.addModule('proj', new Linear({ inFeatures: d, outFeatures: k, random: this.random }))
    this.table = this.addModule('embed', new Codes(k, d, this.random)).weight
  }

  /** τ. A schedule sets it between steps; throws VqConfigError unless it is from 1e-6 to 1e6. */
  get temperature(): number {
    return this.tau
  }

  set temperature(value: number) {
    expectNumber('GumbelQuantizer', 'temperature', value, 1e-6, 1e6)
    this.tau = value
  }

  protected quantizeRows(z: tf.Tensor2D): RowsOutput {
    const logits = this.logits(z) // [N, K]
    if (!this.training) {
      const indices = noGrad(() => this.encodeRows(z))
      const quantized = chosen(tf.softmax(logits), this.table, indices)
      return { quantized, indices, losses: this.losses(fromUniform(logits)) }
    }
    const { samples, indices, divergence } = gumbelSoftmax(logits, {
      temperature: this.tau,
      generator: this.random,
    })
    const quantized = this.straightThrough
      ? chosen(samples, this.table, indices)
      : (tf.matMul(samples, this.table) as tf.Tensor2D)
    return { quantized, indices, losses: this.losses(divergence) }
  }

  private losses(divergence: tf.Scalar): Record<string, tf.Scalar> {
    return this.klWeight > 0 ? { kl: tf.mul(divergence, this.klWeight) } : {}
  }

  private logits(z: tf.Tensor2D): tf.Tensor2D {
    if (this.proj !== undefined) return this.proj.forward(z) as tf.Tensor2D
    // The rows' own norms are left out: they move all logits alike.
    const squares = tf.sum(tf.square(this.table), 1) as tf.Tensor1D // [K]
    const products = tf.mul(tf.matMul(z, this.table, false, true), 2)
    return tf.sub(products, squares) as tf.Tensor2D
  }

  // Through nearestCode, so that codes hang on the row alone: w·z + b is the product with one more element that is 1.
  protected encodeRows(z: tf.Tensor2D): tf.Tensor1D {
    const { proj } = this
    if (proj === undefined) return nearestCode(z, this.table) as tf.Tensor1D
    const bias = proj.bias as tf.Variable<tf.Rank.R1>
    const codes = tf.concat([tf.transpose(proj.weight), tf.expandDims(bias, 1)], 1) as tf.Tensor2D // [K, D + 1]
    const rows = tf.concat([z, tf.ones([z.shape[0], 1])], 1)
    return nearestCode(rows, codes, { metric: 'dot' }) as tf.Tensor1D
  }

  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return noGrad(() => tf.gather(this.table, indices as tf.Tensor1D))
  }

  codebook(): tf.Tensor2D {
    return tf.clone(this.table)
  }

  override extraState(): unknown {
    return { temperature: this.tau, random: this.random.state }
  }

  override loadExtraState(state: unknown): void {
    const { temperature, random } = state as { temperature: number; random: Random['state'] }
    this.temperature = temperature
    this.random.state = random
  }
}

/** The codes as PyTorch's Embedding keeps them: N(0, 1) at first. */
class Codes extends Module {
  readonly weight: tf.Variable<tf.Rank.R2>

  constructor(k: number, d: number, random: Random) {
    super()
    this.weight = this.addParameter('weight', tf.tensor2d(random.fillNormal(new Float32Array(k * d)), [k, d]))
  }
}

/** Row indices of the codes, with the gradients of y·codes, where the codes' is that of the row that was taken. */
function chosen(y: tf.Tensor2D, codes: tf.Tensor2D, indices: tf.Tensor1D): tf.Tensor2D {
  const k = codes.shape[0]
  return customGradient<tf.Tensor2D>(
    [y, codes],
    save => {
      save([codes, indices])
      return tf.gather(codes, indices)
    },
    (dy, [codes, indices]) => [
      tf.matMul(dy, codes as tf.Tensor2D, false, true),
      tf.unsortedSegmentSum(dy, indices as tf.Tensor1D, k),
    ],
  )
}

/** KL(softmax(logits) ‖ uniform), a mean over rows, in nats. */
function fromUniform(logits: tf.Tensor2D): tf.Scalar {
  const [n, k] = logits.shape
  const logs = tf.logSoftmax(logits)
  return tf.add(tf.div(tf.sum(tf.mul(tf.exp(logs), logs)), n), Math.log(k)) as tf.Scalar
}
