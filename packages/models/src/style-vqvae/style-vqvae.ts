// A VQ-VAE (van den Oord et al. 2017, https://arxiv.org/abs/1711.00937) whose codes say apart what an image looks like (its style,
// such as colours: residual levels, as Lee et al. 2022, https://arxiv.org/abs/2203.01941, of a few kinds of pixels) and what stands where (a code per place).
// The places are encoded from images without their style: each channel normalised over the image (instance normalisation,
// Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022); content and style meet in a bilinear decoder.
import { expectShape, meanSquaredError, tf } from '@vq/core'
import { GroupNorm, Module, Sequential } from '@vq/core/nn'
import { GroupedResidualVQ, VectorQuantizer } from '@vq/quantizers'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { expectImages, textOf } from '../image/expect-images.js'
import { downwards, pointwise } from '../vqvae/architecture.js'
import { averagedCodes, plainOptions, quantizerOptions } from '../vqvae/quantized-autoencoder.js'
import { BilinearDecoder } from './bilinear-decoder.js'
import {
  resolveStyleVqvae,
  type StyleVQVAEArchitecture,
  type StyleVQVAEOptions,
  styleOptionNames,
} from './options.js'
import { StyleEncoder } from './style-encoder.js'

// Types, not interfaces: tf.tidy wants an index signature.
export type StyleCodes<T extends tf.Tensor = tf.Tensor> = { style: T; content: T }

export type StyleVQVAEOutput = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** reconstructionLoss + vqLoss: what training minimises. */
  loss: tf.Scalar
  /** Mean over all elements of (x − reconstructed)². */
  reconstructionLoss: tf.Scalar
  /** The sum of both quantizers'. */
  vqLoss: tf.Scalar
  /** exp of the entropy of the codes chosen in this batch; of the style's levels the mean. */
  stylePerplexity: tf.Scalar
  contentPerplexity: tf.Scalar
  /** int32: style [B, heads · L], content [B, h, w]. */
  indices: StyleCodes
}

/**
 * A VQ-VAE with codes of two kinds: `styleLevels` for each of `styleHeads` of the image as a whole, and one of each place.
 * [B, H, W, C] ↔ style int32 [B, heads · L] and content int32 [B, H/stride, W/stride]; as tokens the style's come first.
 *
 * @example
 * const model = new StyleVQVAE({ hiddenDims: [64, 128], numEmbeddings: 512 })
 * const tokens = model.getTokens(tf.zeros([1, 28, 28, 3]))   // int32 [1, 4 + 49]
 */
export class StyleVQVAE extends Module {
  readonly architecture: Readonly<StyleVQVAEArchitecture>
  private readonly styleEncoder: StyleEncoder
  private readonly normal: GroupNorm
  private readonly contentEncoder: Sequential
  readonly styleQuantizer: GroupedResidualVQ
  readonly contentQuantizer: VectorQuantizer
  private readonly decoder: BilinearDecoder
  /** Image height and width must be multiples of this. */
  readonly stride: number

  constructor(options: StyleVQVAEOptions = {}) {
    super()
    const a = resolveStyleVqvae(options)
    const { random } = options
    const generator = random === undefined ? {} : { random }
    const shared = Object.fromEntries(
      Object.entries(quantizerOptions(options, { ...a, dim: a.embeddingDim })).filter(
        ([name]) => !styleOptionNames.includes(name),
      ),
    ) as unknown as ConstructorParameters<typeof VectorQuantizer>[0]
    // First: bad options of theirs leave nothing behind.
    const {
      heads: _,
      metric: __,
      embeddingDim: ___,
      ...residual
    } = shared as unknown as Record<string, unknown>
    const content = new VectorQuantizer(shared)
    const style = new GroupedResidualVQ({
      ...residual,
      ...(options.styleDeadCodeThreshold !== undefined && {
        deadCodeThreshold: options.styleDeadCodeThreshold,
        deadCodeReset: Math.max(1, 2 * options.styleDeadCodeThreshold),
      }),
      numQuantizers: a.styleLevels,
      numEmbeddings: a.styleEmbeddings,
      groups: a.styleHeads,
      dim: a.styleHeads * a.styleDim,
    })
    this.architecture = a
    this.stride = 2 ** a.hiddenDims.length
    this.styleEncoder = this.addModule('style_encoder', new StyleEncoder(a, generator))
    this.normal = this.addModule(
      'normal',
      new GroupNorm({ numGroups: a.inChannels, numChannels: a.inChannels, affine: false }),
    )
    const deepest = a.hiddenDims[a.hiddenDims.length - 1] as number
    this.contentEncoder = this.addModule(
      'content_encoder',
      new Sequential(...downwards(a, random), pointwise(deepest, a.embeddingDim, random)),
    )
    this.styleQuantizer = this.addModule('style_quantizer', style)
    this.contentQuantizer = this.addModule('content_quantizer', content)
    this.decoder = this.addModule('decoder', new BilinearDecoder(a, generator))
  }

  /** Number of learned values, the codebooks among them whichever rule moves them. */
  override parameterCount(): number {
    return super.parameterCount() + averagedCodes(this)
  }

  /** x: [B, H, W, C]. In training the codebooks move. */
  forward(x: tf.Tensor): StyleVQVAEOutput {
    return tf.tidy(() => {
      const z = this.encode(x)
      const style = this.styleQuantizer.forward(z.style)
      const content = this.contentQuantizer.forward(z.content)
      const reconstructed = this.decode({ style: style.quantized, content: content.quantized })
      const reconstructionLoss = meanSquaredError(reconstructed, x)
      const vqLoss = tf.add<tf.Scalar>(style.loss, content.loss)
      return {
        reconstructed,
        loss: tf.add<tf.Scalar>(reconstructionLoss, vqLoss),
        reconstructionLoss,
        vqLoss,
        stylePerplexity: style.perplexity,
        contentPerplexity: content.perplexity,
        indices: { style: style.indices, content: content.indices },
      }
    })
  }

  /** Latents before quantization: style [B, S], content [B, h, w, D]. */
  encode(x: tf.Tensor): StyleCodes {
    expectImages('StyleVQVAE.encode', x, this.architecture.inChannels, this.stride)
    return tf.tidy(() => {
      const normal = this.normal.forward(x)
      return { style: this.styleEncoder.forward(x, normal), content: this.contentEncoder.forward(normal) }
    })
  }

  /** Latents or codes' vectors, style [B, S] and content [B, h, w, D] → images [B, H, W, C]. */
  decode({ style, content }: StyleCodes): tf.Tensor4D {
    const { embeddingDim } = this.architecture
    const styleDim = this.styleQuantizer.dim
    const [b] = content.shape
    expectShape(
      content.rank === 4 &&
        content.shape[3] === embeddingDim &&
        tf.util.arraysEqual(style.shape, [b as number, styleDim]),
      'StyleVQVAE.decode',
      `style [B, ${styleDim}] and content [B, h, w, ${embeddingDim}]`,
      `[${style.shape.join(', ')}] and [${content.shape.join(', ')}]`,
      'Pass both of the same images.',
    )
    return tf.tidy(() => this.decoder.forward(content, style) as tf.Tensor4D)
  }

  /** [B, H, W, C] → int32 style [B, heads · L] and content [B, h, w]. */
  encodeToIndices(x: tf.Tensor): StyleCodes {
    return tf.tidy(() => {
      const { style, content } = this.encode(x)
      return { style: this.styleQuantizer.encode(style), content: this.contentQuantizer.encode(content) }
    })
  }

  /** What `encodeToIndices` gave → [B, H, W, C]. */
  decodeFromIndices({ style, content }: StyleCodes): tf.Tensor4D {
    return tf.tidy(() =>
      this.decode({
        style: this.styleQuantizer.decode(style),
        content: this.contentQuantizer.decode(content),
      }),
    )
  }

  /** The codes of images [B, H, W, C] as sequences, the style's first, then the places row by row: int32 [B, heads · L + h·w]. */
  getTokens(x: tf.Tensor): tf.Tensor2D {
    return tf.tidy(() => {
      const { style, content } = this.encodeToIndices(x)
      const [b, h, w] = content.shape as [number, number, number]
      return tf.concat([style, tf.reshape(content, [b, h * w])], 1) as tf.Tensor2D
    })
  }

  /** Sequences as `getTokens` gives them to images [B, H, W, C]. `grid` is [h, w]; left out, the grid is square. */
  decodeTokens(tokens: tf.Tensor, grid?: readonly [number, number]): tf.Tensor4D {
    const { styleCodes } = this
    const places = (tokens instanceof tf.Tensor && tokens.rank === 2 ? (tokens.shape[1] as number) : 0) - styleCodes // biome-ignore format: one line
    const edge = Math.round(Math.sqrt(Math.max(0, places)))
    const [h, w] = grid ?? [edge, edge]
    expectShape(
      places > 0 && places === h * w,
      'StyleVQVAE.decodeTokens',
      `tokens [B, ${styleCodes} + ${grid === undefined ? 'a square' : h * w}]`,
      textOf(tokens),
      'Pass the tokens of whole images, and the grid [h, w] where it is not square.',
    )
    return tf.tidy(() => {
      const [style, content] = tf.split(tokens, [styleCodes, places], 1) as [tf.Tensor, tf.Tensor]
      return this.decodeFromIndices({ style, content: tf.reshape(content, [-1, h, w]) })
    })
  }

  /** Number of an image's codes of its style: heads · levels, head by head. */
  get styleCodes(): number {
    return this.architecture.styleHeads * this.architecture.styleLevels
  }

  /** Whether neither codebook waits for `prepare`. */
  get ready(): boolean {
    return this.styleQuantizer.ready && this.contentQuantizer.ready
  }

  /** Takes the first codes from images [B, H, W, C] where a k-means start waits for them; it wants as many images as a style's level has codes. */
  async prepare(x: tf.Tensor): Promise<void> {
    if (this.ready) return
    const { style, content } = this.encode(x)
    try {
      if (!this.styleQuantizer.ready) await this.styleQuantizer.initialize(style)
      if (!this.contentQuantizer.ready) await this.contentQuantizer.initialize(content)
    } finally {
      tf.dispose([style, content])
    }
  }

  /** What `new StyleVQVAE` takes to build this model again; a codebook start that is a function or an array is left out. */
  get config(): StyleVQVAEOptions {
    const { dim: _, ...options } = plainOptions(this.contentQuantizer.options)
    const { deadCodeThreshold: styleDeadCodeThreshold } = this.styleQuantizer.groups.modules[0]!.options
    return { ...options, ...this.architecture, styleDeadCodeThreshold }
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'StyleVQVAE', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<StyleVQVAE> {
    return restoreModel(folder, 'StyleVQVAE', (options: StyleVQVAEOptions) => new StyleVQVAE(options))
  }
}
