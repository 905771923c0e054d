// van den Oord et al. 2017, "Neural discrete representation learning", https://arxiv.org/abs/1711.00937, equation 3:
//   L = mean((x − D(q))²) + VQ loss,  q the code nearest to E(x).
import { expectInteger, expectShape, tf } from '@vq/core'
import { VectorQuantizer } from '@vq/quantizers'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { textOf } from '../image/expect-images.js'
import { resolveArchitecture, type VQVAEOptions } from './options.js'
import { QuantizedAutoEncoder, quantizerOptions } from './quantized-autoencoder.js'

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
  /** int32 [B, h, w]; with `heads` above 1, [B, h, w, heads]. */
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
export class VQVAE extends QuantizedAutoEncoder<VectorQuantizer> {
  constructor(options: VQVAEOptions = {}) {
    const architecture = resolveArchitecture('VQVAE', options)
    const rule = architecture.architecture === 'igpt' ? { codebookUpdate: 'gradient' as const } : {}
    super(
      architecture,
      options,
      () => new VectorQuantizer({ ...rule, ...quantizerOptions(options, architecture) }),
    )
  }

  /** The 'igpt' architecture by the names of its paper's course: width, number of codes, their length; the codebook learns by gradient. */
  static igpt({ dim = 256, K = 128, D = 256, ...rest }: IgptOptions = {}): VQVAE {
    return new VQVAE({ ...rest, architecture: 'igpt', hiddenDims: [dim], numEmbeddings: K, embeddingDim: D })
  }

  /** x: [B, H, W, C]. In training the codebook and the running statistics move. */
  forward(x: tf.Tensor): VQVAEOutput {
    return tf.tidy(() => {
      const { reconstructed, reconstructionLoss, output } = this.pass(x)
      const { loss: vqLoss, perplexity, indices } = output
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

  override encodeToIndices(x: tf.Tensor): tf.Tensor3D {
    return super.encodeToIndices(x) as tf.Tensor3D
  }

  /** The codes of images [B, H, W, C] as sequences, row by row: int32 [B, h·w]. */
  getTokens(x: tf.Tensor): tf.Tensor2D {
    this.expectOneCode('getTokens')
    return tf.tidy(() => {
      const indices = this.encodeToIndices(x)
      const [b, h, w] = indices.shape
      return tf.reshape(indices, [b, h * w])
    })
  }

  /**
   * Sequences of codes int32 [B, h·w], row by row, to images [B, H, W, C]. `grid` is [h, w]; left out, the grid is square.
   * Throws VqShapeError where the sequences do not fill it, VqValueError for codes that there are not.
   */
  decodeTokens(tokens: tf.Tensor, grid?: readonly [number, number]): tf.Tensor4D {
    this.expectOneCode('decodeTokens')
    const operation = 'VQVAE.decodeTokens'
    const length = tokens instanceof tf.Tensor && tokens.rank === 2 ? tokens.shape[1]! : 0
    const edge = Math.round(Math.sqrt(length))
    const [h, w] = grid ?? [edge, edge]
    expectInteger(operation, 'the height of the grid', h, grid === undefined ? 0 : 1)
    expectInteger(operation, 'the width of the grid', w, grid === undefined ? 0 : 1)
    expectShape(
      length > 0 && length === h * w,
      operation,
      grid === undefined ? 'tokens [B, T] with T a square' : `tokens [B, ${h * w}]`,
      textOf(tokens),
      'Pass the tokens of whole images, and the grid [h, w] where it is not square.',
    )
    return tf.tidy(() => this.decodeFromIndices(tf.reshape(tokens, [tokens.shape[0], h, w])))
  }

  private expectOneCode(method: string): void {
    const { heads } = this.quantizer.options
    expectShape(
      heads === 1,
      `VQVAE.${method}`,
      'one code per place',
      `${heads} heads`,
      'Use encodeToIndices and decodeFromIndices, or a model with one head.',
    )
  }

  /** What `new VQVAE` takes to build this model again; a codebook start that is a function or an array is left out. */
  get config(): VQVAEOptions {
    return this.buildOptions as VQVAEOptions
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'VQVAE', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<VQVAE> {
    return restoreModel(folder, 'VQVAE', (options: VQVAEOptions) => new VQVAE(options))
  }
}

export interface IgptOptions
  extends Omit<VQVAEOptions, 'architecture' | 'hiddenDims' | 'numEmbeddings' | 'embeddingDim' | 'dim'> {
  /** Width of the outer convolutions. Default 256. */
  dim?: number
  /** Number of codes. Default 128. */
  K?: number
  /** Length of a code. Default 256. */
  D?: number
}
