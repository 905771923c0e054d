// Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks",
// https://doi.org/10.1126/science.1127647, with convolutions:  L = mean((x − f_dec(f_enc(x)))²)
import { meanSquaredError, tf } from '@vq/core'
import { Sequential } from '@vq/core/nn'
import { restoreModel, saveArtifact } from '../artifact/artifact.js'
import { decoderStack, encoderLayers, head } from './architecture.js'
import { LatentModel } from './latent-model.js'
import { type AutoEncoderOptions, resolveLatentArchitecture } from './options.js'

// A type, not an interface: tf.tidy wants an index signature.
export type AutoEncoderOutput = {
  /** [B, H, W, C] */
  reconstructed: tf.Tensor4D
  /** [B, latentDim] */
  latent: tf.Tensor2D
  /** Mean over all elements of (x − reconstructed)². */
  loss: tf.Scalar
}

/**
 * An autoencoder of images with a bottleneck of latentDim numbers: [B, H, W, C] float32 ↔ [B, latentDim]. Weights have
 * PyTorch's names and layouts on disk.
 *
 * @example
 * const model = new AutoEncoder({ latentDim: 64, hiddenDims: [32, 64] })
 * const z = model.encode(tf.zeros([2, 32, 32, 3]))   // [2, 64]
 */
export class AutoEncoder extends LatentModel {
  readonly encoder: Sequential
  readonly decoder: Sequential

  constructor(options: AutoEncoderOptions = {}) {
    super(resolveLatentArchitecture('AutoEncoder', options))
    const { random } = options
    const layers = encoderLayers(this.architecture, random)
    this.encoder = this.addModule('encoder', new Sequential(...layers, head(this.architecture, random)))
    this.decoder = this.addModule('decoder', decoderStack(this.architecture, random))
  }

  /** x: [B, H, W, C] of the model's size. Throws VqShapeError for others, VqValueError where a value is NaN or infinite. */
  forward(x: tf.Tensor): AutoEncoderOutput {
    return tf.tidy(() => {
      const latent = this.encode(x)
      const reconstructed = this.decode(latent)
      return { reconstructed, latent, loss: meanSquaredError(reconstructed, x) }
    })
  }

  /** [B, H, W, C] → [B, latentDim]. */
  encode(x: tf.Tensor): tf.Tensor2D {
    this.expectInput('encode', x)
    return tf.tidy(() => this.encoder.forward(x) as tf.Tensor2D)
  }

  protected latentsOf(x: tf.Tensor): tf.Tensor2D {
    return this.encode(x)
  }

  /**
   * Images along the straight line between the latents of x1 and x2, both ends included, in evaluation mode: from two images
   * [H, W, C] to [numSteps, H, W, C], from two batches [B, H, W, C] to [numSteps, B, H, W, C].
   */
  interpolateInLatentSpace(x1: tf.Tensor, x2: tf.Tensor, numSteps = 10): tf.Tensor {
    return this.between('interpolateInLatentSpace', x1, x2, numSteps)
  }

  /** What `new AutoEncoder` takes to build this model again. */
  get config(): AutoEncoderOptions {
    return { ...this.architecture }
  }

  /** Writes config.json and model.safetensors into a folder, atomically. */
  async save(folder: string): Promise<void> {
    await saveArtifact(folder, { model: 'AutoEncoder', options: this.config }, this.stateDict())
  }

  /** Reads what `save` wrote, in evaluation mode. */
  static load(folder: string): Promise<AutoEncoder> {
    return restoreModel(folder, 'AutoEncoder', (options: AutoEncoderOptions) => new AutoEncoder(options))
  }
}
