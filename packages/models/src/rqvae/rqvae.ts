// Lee et al. 2022, "Autoregressive image generation using residual quantization", https://arxiv.org/abs/2203.01941:
//   L = mean((x − D(ẑ))²) + RQ loss,  ẑ = Σ_d e_{k_d}  (equations 4 to 6; the RQ loss here a mean over levels)
import { expectNumber, expectShape, noGrad, tf } from '@vq/core'
import { analyzeCodes, ResidualVQ } from '@vq/quantizers'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { SquaredError } from '../evaluate/error.js'
import { inEvaluation } from '../evaluation-mode.js'
import { textOf } from '../image/expect-images.js'
import { resolveArchitecture } from '../vqvae/options.js'
import { QuantizedAutoEncoder, quantizerOptions } from '../vqvae/quantized-autoencoder.js'
import { expectLevels, type LevelAnalysis, meanNorm } from './levels.js'
import type { RQVAEOptions } from './options.js'

// A type, not an interface: tf.tidy wants an index signature.
export type RQVAEOutput = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** reconstructionLoss + rqLoss: what training minimises. */
  loss: tf.Scalar
  /** Mean over all elements of (x − reconstructed)². */
  reconstructionLoss: tf.Scalar
  /** Mean over the levels. */
  rqLoss: tf.Scalar
  /** Mean of perplexityList. */
  perplexity: tf.Scalar
  /** Per level, exp of the entropy of the codes chosen in this batch, 1 … K; shorter where quantize dropout left levels out. */
  perplexityList: tf.Scalar[]
  /** What each of these levels adds to the latents, [B, h, w, embeddingDim] each, without gradient. */
  quantizedList: tf.Tensor4D[]
  /** int32 [B, h, w, Q]; −1 at levels that quantize dropout left out. */
  indices: tf.Tensor4D
}

/**
 * An autoencoder of images whose latents get Q codes each, every level's for what the levels before have left over:
 * [B, H, W, C] float32 ↔ int32 [B, H/stride, W/stride, Q]. All else as {@link VQVAE}.
 *
 * @example
 * const model = new RQVAE({ numQuantizers: 4 })
 * const codes = model.encodeToIndices(tf.zeros([1, 32, 32, 3]))   // int32 [1, 8, 8, 4]
 * model.decodeFromIndices(codes, 2)                                // the image of the first two levels
 */
export class RQVAE extends QuantizedAutoEncoder<ResidualVQ> {
  constructor(options: RQVAEOptions = {}) {
    const architecture = resolveArchitecture('RQVAE', options)
    const byGradient = architecture.architecture === 'igpt' || options.implicitCodebook !== undefined
    const rule = byGradient ? { codebookUpdate: 'gradient' as const } : {}
    super(
      architecture,
      options,
      () => new ResidualVQ({ ...rule, ...quantizerOptions(options, architecture) }),
    )
  }

  /** Q */
  get numQuantizers(): number {
    return this.quantizer.options.numQuantizers
  }

  /** x: [B, H, W, C]. In training the codebooks and the running statistics move. */
  forward(x: tf.Tensor): RQVAEOutput {
    return tf.tidy(() => {
      const { reconstructed, reconstructionLoss, output } = this.pass(x, { levels: true })
      const { loss: rqLoss, perplexity, indices, levels = [] } = output
      return {
        reconstructed,
        loss: tf.add<tf.Scalar>(reconstructionLoss, rqLoss),
        reconstructionLoss,
        rqLoss,
        perplexity,
        perplexityList: levels.map(l => l.perplexity),
        quantizedList: levels.map(l => l.quantized as tf.Tensor4D),
        indices: indices as tf.Tensor4D,
      }
    })
  }

  override encodeToIndices(x: tf.Tensor): tf.Tensor4D {
    return super.encodeToIndices(x) as tf.Tensor4D
  }

  /**
   * int32 [B, h, w, q] with 1 ≤ q ≤ Q → [B, H, W, C]; `levels` takes only the first ones of them. Throws VqConfigError for
   * more levels than there are, VqValueError for codes that there are not.
   */
  override decodeFromIndices(indices: tf.Tensor, levels?: number): tf.Tensor4D {
    return tf.tidy(() => super.decodeFromIndices(this.firstLevels('decodeFromIndices', indices, levels)))
  }

  /** The codes of images [B, H, W, C], level by level: int32 [B, h, w] each. */
  getCodes(x: tf.Tensor): tf.Tensor3D[] {
    return tf.tidy(() => tf.unstack(this.encodeToIndices(x), 3) as tf.Tensor3D[])
  }

  /**
   * What each further level brings for images [B, H, W, C], in evaluation mode. `peak` is the images' largest value, for the
   * PSNR. Default 1.
   */
  analyzeQuantizationLevels(x: tf.Tensor, { peak = 1 }: { peak?: number } = {}): LevelAnalysis {
    expectNumber('RQVAE.analyzeQuantizationLevels', 'peak', peak, Number.MIN_VALUE, Number.MAX_VALUE)
    return inEvaluation(this, () => {
      const z = this.encode(x)
      const indices = tf.tidy(() => this.quantizer.encode(z)) // [B, h, w, Q]
      try {
        return this.analyze(x, z, indices, peak)
      } finally {
        tf.dispose([z, indices])
      }
    })
  }

  private analyze(x: tf.Tensor, z: tf.Tensor, indices: tf.Tensor, peak: number): LevelAnalysis {
    const { numQuantizers, quantizer } = this
    const { codebookSize } = quantizer
    const codes = indices.dataSync() as Int32Array
    const used = analyzeCodes(codes, { codebookSize, levels: numQuantizers }).levels
    const pixels = x.dataSync()
    const latentNorm = meanNorm(z)
    const [images, height, width] = x.shape
    const bits = (codes.length / numQuantizers / images) * Math.log2(codebookSize)
    const levels = used.map((usage, l) => {
      const { residualNorm, error } = noGrad(() => {
        const q = tf.tidy(() => quantizer.decode(this.firstLevels('analyze', indices, l + 1)))
        const rest = tf.tidy(() => tf.sub(z, q))
        const y = this.decode(q)
        try {
          const error = new SquaredError('RQVAE.analyzeQuantizationLevels', peak).add(y.dataSync(), pixels)
          return { residualNorm: meanNorm(rest), error }
        } finally {
          tf.dispose([q, rest, y])
        }
      })
      return {
        level: l + 1,
        mse: error.mse,
        psnr: error.psnr,
        residualNorm,
        residualRatio: residualNorm / latentNorm,
        perplexity: usage.perplexity,
        usage,
        bits: (l + 1) * bits,
        bitsPerPixel: ((l + 1) * bits) / (height * width),
      }
    })
    return { levels, latentNorm }
  }

  private firstLevels(method: string, indices: tf.Tensor, levels: number | undefined): tf.Tensor {
    const operation = `RQVAE.${method}`
    const given = indices instanceof tf.Tensor && indices.rank === 4 ? indices.shape[3]! : 0
    expectShape(
      given >= 1 && given <= this.numQuantizers,
      operation,
      `codes [B, h, w, 1 to ${this.numQuantizers}]`,
      textOf(indices),
      'Pass what encodeToIndices gives, or its first levels.',
    )
    if (levels === undefined) return indices
    expectLevels(operation, levels, given)
    return tf.slice(indices, [0, 0, 0, 0], [-1, -1, -1, levels])
  }

  /** What `new RQVAE` takes to build this model again; a codebook start that is a function or an array is left out. */
  get config(): RQVAEOptions {
    return this.buildOptions as RQVAEOptions
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'RQVAE', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<RQVAE> {
    return restoreModel(folder, 'RQVAE', (options: RQVAEOptions) => new RQVAE(options))
  }
}
