import {
  describe,
  expectConfig,
  expectInteger,
  expectShape,
  symmetricEigen,
  tf,
  VqValueError,
} from '@vq/core'
import { BaseDecoder } from '../base/decoder.js'
import { BaseEncoder, type EncoderOutput, fitsShape, shapeText } from '../base/encoder.js'
import { expectOptions } from '../base/options.js'
import { flatSize } from './learned.js'
import { Moments } from './moments.js'

export interface PCAOptions {
  /** Shape of an input, [H, W, C] of images or [D] of vectors. */
  inputDim: readonly number[]
  /** Number of components. Default 64. */
  embeddingDim?: number
  /** Whether embeddings are divided by their deviations, so that each has variance 1. Default false. */
  whiten?: boolean
}

/** A batch of inputs [B, ...inputDim], as a tensor or as rows behind one another. */
export type PCABatch = tf.Tensor | Float32Array

/**
 * Principal components: [B, ...inputDim] → (x − mean)·componentsᵀ [B, embeddingDim]. Fitted to data in one pass over batches; what
 * it holds equals scikit-learn's PCA, signs included (the largest element of each component is positive).
 * Throws VqConfigError for options out of range, VqValueError where it is used before `fit`.
 * Source: Tipping and Bishop 1999, Mixtures of probabilistic principal component analysers, appendix A.
 *
 * @example
 * const encoder = new PCAEncoder({ inputDim: [28, 28, 1], embeddingDim: 32 })
 * await encoder.fit(batches)                          // an array, a tensor, or a (possibly async) iterable of batches
 * const decoder = new PCADecoder(encoder)
 */
export class PCAEncoder extends BaseEncoder {
  readonly inputShape: readonly number[]
  readonly embeddingDim: number
  readonly whiten: boolean
  /** Of the inputs, [D] flattened. */
  readonly mean: tf.Variable<tf.Rank.R1>
  /** [embeddingDim, D], orthonormal, by falling variance. */
  readonly components: tf.Variable<tf.Rank.R2>
  /** Variance of the data along each component, divided by N − 1. */
  readonly explainedVariance: tf.Variable<tf.Rank.R1>
  /** Its share of the variance of the data. */
  readonly explainedVarianceRatio: tf.Variable<tf.Rank.R1>
  private readonly samples: { value: number }

  constructor(options: PCAOptions) {
    super()
    expectOptions('PCAEncoder', options, 'inputDim')
    const { inputDim, embeddingDim = 64, whiten = false } = options
    const size = flatSize('PCAEncoder', inputDim)
    expectInteger('PCAEncoder', 'embeddingDim', embeddingDim, 1, size)
    this.inputShape = [...inputDim]
    this.embeddingDim = embeddingDim
    this.whiten = whiten
    this.mean = this.addBuffer('mean', tf.zeros<tf.Rank.R1>([size]))
    this.components = this.addBuffer('components', tf.zeros<tf.Rank.R2>([embeddingDim, size]))
    this.explainedVariance = this.addBuffer('explained_variance', tf.ones<tf.Rank.R1>([embeddingDim]))
    this.explainedVarianceRatio = this.addBuffer(
      'explained_variance_ratio',
      tf.zeros<tf.Rank.R1>([embeddingDim]),
    )
    this.samples = this.addCounter('n_samples_seen')
  }

  /** Number of inputs that it was fitted to. */
  get samplesSeen(): number {
    return this.samples.value
  }

  /**
   * Fits it to all batches together, replacing what it was. Memory is bounded by a batch and a matrix [D, D].
   * Throws VqShapeError for batches of other shapes, VqValueError for fewer inputs than components and values that are not finite.
   */
  async fit(batches: PCABatch | Iterable<PCABatch> | AsyncIterable<PCABatch>): Promise<this> {
    const size = flatSize('PCAEncoder', this.inputShape)
    const moments = new Moments(size)
    const single = batches instanceof tf.Tensor || batches instanceof Float32Array
    expectConfig(
      single || (typeof batches === 'object' && batches !== null),
      'PCAEncoder.fit',
      'batches',
      batches,
      'Pass a tensor, a Float32Array or an iterable of these.',
    )
    for await (const batch of single ? [batches] : batches) moments.add(this.rowsOf(batch, size))
    this.take(moments, size)
    return this
  }

  private take({ count, mean, scatter }: Moments, size: number): void {
    const { embeddingDim } = this
    if (count < Math.max(2, embeddingDim))
      throw new VqValueError({
        operation: 'PCAEncoder.fit',
        expected: `at least ${Math.max(2, embeddingDim)} inputs for ${embeddingDim} components`,
        received: String(count),
        remedy: 'Pass more inputs, or make embeddingDim smaller.',
      })
    const covariance = scatter.map(x => x / (count - 1))
    let total = 0
    for (let i = 0; i < size; i++) total += covariance[i * size + i]!
    const { values, vectors } = symmetricEigen(covariance, size)
    const variances = Float32Array.from(values.subarray(0, embeddingDim), v => Math.max(0, v))
    tf.tidy(() => {
      this.mean.assign(tf.tensor1d(Float32Array.from(mean)))
      const rows = Float32Array.from(vectors.subarray(0, embeddingDim * size))
      this.components.assign(tf.tensor2d(rows, [embeddingDim, size]))
      this.explainedVariance.assign(tf.tensor1d(variances))
      const shares = variances.map(v => (total > 0 ? v / total : 0))
      this.explainedVarianceRatio.assign(tf.tensor1d(shares))
    })
    this.samples.value = count
  }

  private rowsOf(batch: PCABatch, size: number): Float32Array {
    const isTensor = batch instanceof tf.Tensor
    const fits = isTensor
      ? fitsShape(batch.shape, this.inputShape)
      : batch instanceof Float32Array && batch.length % size === 0
    expectShape(
      fits,
      'PCAEncoder.fit',
      `batches ${shapeText(this.inputShape)}`,
      isTensor ? `a tensor [${batch.shape.join(', ')}]` : describe(batch),
      'Pass inputs of that shape.',
    )
    return isTensor ? Float32Array.from(batch.dataSync()) : batch
  }

  protected encode(x: tf.Tensor): EncoderOutput {
    this.expectFitted('forward')
    const centred = tf.sub(tf.reshape(x, [x.shape[0]!, -1]), this.mean) as tf.Tensor2D
    const scores = tf.matMul(centred, this.components, false, true)
    return { embedding: (this.whiten ? tf.div(scores, this.deviations()) : scores) as tf.Tensor2D }
  }

  /** Where embeddings come from, [B, ...inputDim]: what was left out is lost. */
  decode(z: tf.Tensor): tf.Tensor {
    this.expectFitted('decode')
    return tf.tidy(() => {
      const scores = (this.whiten ? tf.mul(z, this.deviations()) : z) as tf.Tensor2D
      const flat = tf.add(tf.matMul(scores, this.components), this.mean)
      return tf.reshape(flat, [z.shape[0]!, ...this.inputShape])
    })
  }

  private deviations(): tf.Tensor {
    // Components without variance stay finite, as in scikit-learn.
    return tf.sqrt(tf.maximum(this.explainedVariance, 1.1920929e-7))
  }

  private expectFitted(method: string): void {
    if (this.samples.value > 0) return
    throw new VqValueError({
      operation: `PCAEncoder.${method}`,
      expected: 'an encoder that was fitted or loaded',
      received: 'a new one',
      remedy: 'Call `await encoder.fit(batches)` first.',
    })
  }
}

/** The way back of a PCAEncoder, whose buffers it shares: [B, embeddingDim] → [B, ...inputDim]. */
export class PCADecoder extends BaseDecoder {
  readonly inputShape: readonly number[]
  readonly outputShape: readonly number[]
  readonly encoder: PCAEncoder

  constructor(encoder: PCAEncoder) {
    super()
    expectConfig(
      encoder instanceof PCAEncoder,
      'PCADecoder',
      'a PCAEncoder',
      encoder,
      'Pass the encoder whose way back it is.',
    )
    this.encoder = this.addModule('encoder', encoder)
    this.inputShape = [encoder.embeddingDim]
    this.outputShape = encoder.inputShape
  }

  protected decode(z: tf.Tensor): tf.Tensor {
    return this.encoder.decode(z)
  }
}
