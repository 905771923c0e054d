// van den Oord et al. 2017, "Neural discrete representation learning", https://arxiv.org/abs/1711.00937, equation 3:
//   L = mean((x − D(q))²) + VQ loss,  q the code nearest to E(x).
import { expectShape, meanSquaredError, tf } from '@vq/core'
import { Module, type Sequential } from '@vq/core/nn'
import { VectorQuantizer } from '@vq/quantizers'
import { loadArtifact, saveArtifact } from '../artifact/artifact.js'
import { buildParts } from './architecture.js'
import { type Architecture, resolveArchitecture, type VQVAEOptions } from './options.js'

// A type, not an interface: tf.tidy wants an index signature.
export type VQVAEOutput = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** reconstructionLoss + vqLoss: what training minimises. */
  loss: tf.Scalar
  /** Mean over all elements of (x − reconstructed)². */
  reconstructionLoss: tf.Scalar
  vqLoss: tf.Scalar
  /** exp of the entropy of the codes chosen in this batch, 1 … K. */
  perplexity: tf.Scalar
  /** int32 [B, h, w] */
  indices: tf.Tensor3D
}

/**
 * An autoencoder of images with a codebook between: [B, H, W, C] float32 ↔ int32 [B, H/stride, W/stride]. The loss
 * assumes no range of values; [0, 1] is ours. Weights have PyTorch's names and layouts on disk.
 *
 * @example
 * const model = new VQVAE({ numEmbeddings: 256 })
 * const codes = model.encodeToIndices(tf.zeros([1, 32, 32, 3]))   // int32 [1, 8, 8]
 */
export class VQVAE extends Module {
  readonly architecture: Readonly<Architecture>
  readonly encoder: Sequential
  readonly quantizer: VectorQuantizer
  readonly decoder: Sequential
  /** Image height and width must be multiples of this. */
  readonly stride: number

  constructor(options: VQVAEOptions = {}) {
    super()
    this.architecture = resolveArchitecture(options)
    const { numEmbeddings, embeddingDim, architecture } = this.architecture
    const igpt = architecture === 'igpt'
    const parts = buildParts(this.architecture, options.random)
    const quantizer = new VectorQuantizer({
      ...(igpt ? { codebookUpdate: 'gradient' } : {}),
      ...quantizerOptions(options),
      ...(options.random === undefined ? {} : { random: options.random }),
      numEmbeddings,
      embeddingDim,
    })
    this.stride = parts.stride
    this.encoder = this.addModule('encoder', parts.encoder)
    this.quantizer = this.addModule(igpt ? 'codebook' : 'quantizer', quantizer)
    this.decoder = this.addModule('decoder', parts.decoder)
  }

  /** The 'igpt' architecture by the names of its paper's course: width, number of codes, their length; the codebook learns by gradient. */
  static igpt({ dim = 256, K = 128, D = 256, ...rest }: IgptOptions = {}): VQVAE {
    return new VQVAE({ ...rest, architecture: 'igpt', hiddenDims: [dim], numEmbeddings: K, embeddingDim: D })
  }

  /** Number of learned values, the codebook among them whichever rule moves it. */
  override parameterCount(): number {
    const { table, options } = this.quantizer
    return super.parameterCount() + (options.codebookUpdate === 'ema' ? table.size : 0)
  }

  /** x: [B, H, W, C]. In training the codebook and the running statistics move. */
  forward(x: tf.Tensor): VQVAEOutput {
    return tf.tidy(() => {
      const z = this.encode(x) // [B, h, w, D]
      const { quantized, indices, loss: vqLoss, perplexity } = this.quantizer.forward(z)
      const reconstructed = this.decode(quantized) // [B, H, W, C]
      const reconstructionLoss = meanSquaredError(reconstructed, x)
      const loss = tf.add<tf.Scalar>(reconstructionLoss, vqLoss)
      return {
        reconstructed,
        loss,
        reconstructionLoss,
        vqLoss,
        perplexity,
        indices: indices as tf.Tensor3D,
      }
    })
  }

  /** Latents before quantization, [B, H, W, C] → [B, h, w, D]. */
  encode(x: tf.Tensor): tf.Tensor4D {
    const { stride, architecture } = this
    const { inChannels } = architecture
    const [, h, w, c] = x.shape
    expectShape(
      x.rank === 4 && c === inChannels && h > 0 && w > 0 && h % stride === 0 && w % stride === 0,
      'VQVAE.encode',
      `images [B, H, W, ${inChannels}] with H and W divisible by ${stride}`,
      `a tensor [${x.shape.join(', ')}]`,
      `Resize, crop or pad the images to multiples of ${stride}.`,
    )
    return tf.tidy(() => this.encoder.forward(x) as tf.Tensor4D)
  }

  /** Latents [B, h, w, D] → images [B, H, W, C]. */
  decode(z: tf.Tensor): tf.Tensor4D {
    const { embeddingDim } = this.architecture
    expectShape(
      z.rank === 4 && z.shape[3] === embeddingDim,
      'VQVAE.decode',
      `latents [B, h, w, ${embeddingDim}]`,
      `a tensor [${z.shape.join(', ')}]`,
      'Pass what `encode` gives, or codes to `decodeFromIndices`.',
    )
    return tf.tidy(() => this.decoder.forward(z) as tf.Tensor4D)
  }

  /** [B, H, W, C] → int32 [B, h, w]. */
  encodeToIndices(x: tf.Tensor): tf.Tensor3D {
    return tf.tidy(() => this.quantizer.encode(this.encode(x)) as tf.Tensor3D)
  }

  /** int32 [B, h, w] → [B, H, W, C]. */
  decodeFromIndices(indices: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => this.decode(this.quantizer.decode(indices)))
  }

  /** Takes the first codes from the latents of images [B, H, W, C] where a k-means start waits for them; the Trainer calls it. */
  async prepare(x: tf.Tensor): Promise<void> {
    if (this.quantizer.ready) return
    const z = this.encode(x)
    try {
      await this.quantizer.initialize(z)
    } finally {
      z.dispose()
    }
  }

  /** What `new VQVAE` takes to build this model again; a codebook start that is a function is left out. */
  get config(): VQVAEOptions {
    const { numEmbeddings: _, embeddingDim: __, initCodebook, ...quantizer } = this.quantizer.options
    return {
      ...this.architecture,
      ...quantizer,
      ...(typeof initCodebook === 'string' ? { initCodebook } : {}),
    }
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'VQVAE', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static async load(folder: string): Promise<VQVAE> {
    const { config, state } = await loadArtifact(folder, 'VQVAE')
    const model = new VQVAE(config.options as VQVAEOptions)
    try {
      model.loadStateDict(state)
    } catch (error) {
      model.dispose()
      throw error
    }
    return model.eval()
  }
}

export interface IgptOptions
  extends Omit<VQVAEOptions, 'architecture' | 'hiddenDims' | 'numEmbeddings' | 'embeddingDim'> {
  /** Width of the outer convolutions. Default 256. */
  dim?: number
  /** Number of codes. Default 128. */
  K?: number
  /** Length of a code. Default 256. */
  D?: number
}

function quantizerOptions(options: VQVAEOptions): Partial<VQVAEOptions> {
  const { architecture, inChannels, hiddenDims, numResidualLayers, residualHiddenDim, random, ...rest } =
    options
  return rest
}
