// Razavi, van den Oord, Vinyals 2019, "Generating diverse high-fidelity images with VQ-VAE-2",
// https://arxiv.org/abs/1906.00446, section 3.1 and algorithm 1, with two levels:
//   e_top = VQ(E_top(x)),  e_bottom = VQ(E_bottom(x, e_top)),  x̂ = D(e_top, e_bottom)
import { expectShape, meanSquaredError, type Random, tf } from '@vq/core'
import { ConvTranspose2d, type Layer, Module, ReLU, Sequential } from '@vq/core/nn'
import { VectorQuantizer } from '@vq/quantizers'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { expectImages, textOf } from '../image/expect-images.js'
import { downwards, pointwise, upwards } from '../vqvae/architecture.js'
import { averagedCodes, plainOptions, quantizerOptions } from '../vqvae/quantized-autoencoder.js'
import { resolveVqvae2, type VQVAE2Architecture, type VQVAE2Options } from './options.js'

// Types, not interfaces: tf.tidy wants an index signature.
export type TwoLevels<T extends tf.Tensor = tf.Tensor> = { top: T; bottom: T }

export type VQVAE2Output = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** reconstructionLoss + vqLoss: what training minimises. */
  loss: tf.Scalar
  /** Mean over all elements of (x − reconstructed)². */
  reconstructionLoss: tf.Scalar
  /** The sum of both quantizers'. */
  vqLoss: tf.Scalar
  /** exp of the entropy of the codes chosen in this batch, 1 … K. */
  topPerplexity: tf.Scalar
  bottomPerplexity: tf.Scalar
  /** int32: top [B, h, w], bottom [B, n·h, n·w], n the top's stride over the bottom's. */
  indices: TwoLevels
}

/**
 * A VQ-VAE with codes on two grids: a coarse one for the image as a whole, and a fine one that is encoded knowing the coarse
 * one; the decoder sees both.
 *
 * @example
 * const model = new VQVAE2({ numEmbeddings: 256 })
 * const { top, bottom } = model.encodeToIndices(tf.zeros([1, 32, 32, 3]))   // int32 [1, 4, 4] and [1, 8, 8]
 * model.decodeFromIndices({ top, bottom })                                   // [1, 32, 32, 3]
 */
export class VQVAE2 extends Module {
  readonly architecture: Readonly<VQVAE2Architecture>
  readonly encoderBottom: Sequential
  readonly encoderTop: Sequential
  readonly quantizerTop: VectorQuantizer
  /** From the top's codes to what the bottom is told of them. */
  readonly decoderTop: Sequential
  /** From the bottom's features and that to its latents. */
  readonly toBottom: Sequential
  readonly quantizerBottom: VectorQuantizer
  readonly upsampleTop: Sequential
  readonly decoder: Sequential
  /** Image height and width must be multiples of this: the top's stride. */
  readonly stride: number

  constructor(options: VQVAE2Options = {}) {
    super()
    const a = resolveVqvae2(options)
    const { random } = options
    const { dim, hiddenDims, topHiddenDims } = a
    const [width, topWidth] = [hiddenDims[hiddenDims.length - 1], topHiddenDims[topHiddenDims.length - 1]]
    const top = { ...a, inChannels: width, hiddenDims: topHiddenDims }
    // First: bad options of theirs leave nothing behind.
    const [quantizerTop, quantizerBottom] = [0, 1].map(
      () => new VectorQuantizer(quantizerOptions(options, a)),
    )
    this.architecture = a
    this.stride = 2 ** (hiddenDims.length + topHiddenDims.length)
    this.encoderBottom = this.addModule('encoder_bottom', new Sequential(...downwards(a, random)))
    this.encoderTop = this.addModule(
      'encoder_top',
      new Sequential(...downwards(top, random), pointwise(topWidth, dim, random)),
    )
    this.quantizerTop = this.addModule('quantizer_top', quantizerTop)
    this.decoderTop = this.addModule(
      'decoder_top',
      new Sequential(pointwise(dim, topWidth, random), ...upwards(top, random)),
    )
    this.toBottom = this.addModule('to_bottom', new Sequential(pointwise(2 * width, dim, random)))
    this.quantizerBottom = this.addModule('quantizer_bottom', quantizerBottom)
    this.upsampleTop = this.addModule('upsample_top', upsampling(dim, topHiddenDims.length, random))
    this.decoder = this.addModule(
      'decoder',
      new Sequential(pointwise(2 * dim, width, random), ...upwards(a, random)),
    )
  }

  /** Number of learned values, the codebooks among them whichever rule moves them. */
  override parameterCount(): number {
    return super.parameterCount() + averagedCodes(this)
  }

  /** x: [B, H, W, C]. In training the codebooks move. */
  forward(x: tf.Tensor): VQVAE2Output {
    return tf.tidy(() => {
      const features = this.features(x)
      const top = this.quantizerTop.forward(this.encoderTop.forward(features)) // [B, h, w, D]
      const bottom = this.quantizerBottom.forward(this.bottomLatents(features, top.quantized)) // [B, nh, nw, D]
      const reconstructed = this.decode({ top: top.quantized, bottom: bottom.quantized })
      const reconstructionLoss = meanSquaredError(reconstructed, x)
      const vqLoss = tf.add<tf.Scalar>(top.loss, bottom.loss)
      return {
        reconstructed,
        loss: tf.add<tf.Scalar>(reconstructionLoss, vqLoss),
        reconstructionLoss,
        vqLoss,
        topPerplexity: top.perplexity,
        bottomPerplexity: bottom.perplexity,
        indices: { top: top.indices, bottom: bottom.indices },
      }
    })
  }

  private features(x: tf.Tensor): tf.Tensor {
    expectImages('VQVAE2.encode', x, this.architecture.inChannels, this.stride)
    return this.encoderBottom.forward(x) // [B, nh, nw, width]
  }

  private bottomLatents(features: tf.Tensor, top: tf.Tensor): tf.Tensor {
    return this.toBottom.forward(tf.concat([features, this.decoderTop.forward(top)], 3))
  }

  /**
   * Latents before quantization, [B, H, W, C] → top [B, h, w, D], bottom [B, n·h, n·w, D]; the bottom's know the top's codes.
   */
  encode(x: tf.Tensor): TwoLevels<tf.Tensor4D> {
    return tf.tidy(() => {
      const features = this.features(x)
      const top = this.encoderTop.forward(features) as tf.Tensor4D
      const chosen = this.quantizerTop.decode(this.quantizerTop.encode(top))
      return { top, bottom: this.bottomLatents(features, chosen) as tf.Tensor4D }
    })
  }

  /** Latents or codes' vectors, top [B, h, w, D] and bottom [B, n·h, n·w, D] → images [B, H, W, C]. */
  decode(levels: TwoLevels): tf.Tensor4D {
    const { top, bottom } = expectLevels('decode', levels)
    const { dim, topHiddenDims } = this.architecture
    const n = 2 ** topHiddenDims.length
    const [b, h, w] = top.shape
    expectShape(
      top.rank === 4 && top.shape[3] === dim && tf.util.arraysEqual(bottom.shape, [b, n * h, n * w, dim]),
      'VQVAE2.decode',
      `top [B, h, w, ${dim}] and bottom [B, ${n}h, ${n}w, ${dim}]`,
      `[${top.shape.join(', ')}] and [${bottom.shape.join(', ')}]`,
      'Pass both levels of the same images.',
    )
    return tf.tidy(() => {
      const seen = tf.concat([bottom, this.upsampleTop.forward(top)], 3) // [B, nh, nw, 2D]
      return this.decoder.forward(seen) as tf.Tensor4D
    })
  }

  /** [B, H, W, C] → int32 top [B, h, w] and bottom [B, n·h, n·w]. */
  encodeToIndices(x: tf.Tensor): TwoLevels {
    return tf.tidy(() => {
      const features = this.features(x)
      const top = this.quantizerTop.encode(this.encoderTop.forward(features))
      const latents = this.bottomLatents(features, this.quantizerTop.decode(top))
      return { top, bottom: this.quantizerBottom.encode(latents) }
    })
  }

  /** What `encodeToIndices` gave → [B, H, W, C]. */
  decodeFromIndices(levels: TwoLevels): tf.Tensor4D {
    const { top, bottom } = expectLevels('decodeFromIndices', levels)
    return tf.tidy(() =>
      this.decode({ top: this.quantizerTop.decode(top), bottom: this.quantizerBottom.decode(bottom) }),
    )
  }

  /** Takes the first codes from images [B, H, W, C] where a k-means start waits for them, the top's first; the Trainer calls it. */
  async prepare(x: tf.Tensor): Promise<void> {
    for (const level of ['top', 'bottom'] as const) {
      const quantizer = level === 'top' ? this.quantizerTop : this.quantizerBottom
      if (quantizer.ready) continue
      const z = this.encode(x)
      try {
        await quantizer.initialize(z[level])
      } finally {
        tf.dispose(z)
      }
    }
  }

  /** What `new VQVAE2` takes to build this model again; a codebook start that is a function or an array is left out. */
  get config(): VQVAE2Options {
    return { ...this.architecture, ...plainOptions(this.quantizerTop.options) }
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'VQVAE2', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<VQVAE2> {
    return restoreModel(folder, 'VQVAE2', (options: VQVAE2Options) => new VQVAE2(options))
  }
}

function expectLevels(method: string, levels: TwoLevels): TwoLevels {
  const given: Partial<TwoLevels> = levels ?? {}
  expectShape(
    given.top instanceof tf.Tensor && given.bottom instanceof tf.Tensor,
    `VQVAE2.${method}`,
    'tensors { top, bottom }',
    levels instanceof tf.Tensor ? textOf(levels) : `top ${textOf(given.top)}, bottom ${textOf(given.bottom)}`,
    'Pass both levels of the same images.',
  )
  return levels
}

// The top's codes on the bottom's grid, [B, h, w, D] → [B, 2ᵗh, 2ᵗw, D].
function upsampling(dim: number, times: number, random?: Random): Sequential {
  const generator = random === undefined ? {} : { random }
  const layers = Array.from({ length: times }, (_, i): Layer[] => {
    const up = new ConvTranspose2d({
      inChannels: dim,
      outChannels: dim,
      kernelSize: 4,
      stride: 2,
      padding: 1,
      ...generator,
    })
    return i === times - 1 ? [up] : [up, new ReLU()]
  })
  return new Sequential(...layers.flat())
}
