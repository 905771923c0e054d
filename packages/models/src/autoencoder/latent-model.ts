import { expectInteger, expectNumber, expectShape, noGrad, tf } from '@vq/core'
import { Module, type Sequential } from '@vq/core/nn'
import { SquaredError } from '../evaluate/error.js'
import { inEvaluation } from '../evaluation-mode.js'
import { expectImagesOf, expectUsableValues, textOf } from '../image/expect-images.js'
import type { LatentArchitecture } from './options.js'

export interface ReconstructionError {
  /** Mean over all elements of the squared error. */
  mse: number
  /** √mse */
  rmse: number
  /** Mean over all elements of the absolute error. */
  mae: number
  /** The largest absolute error of one element. */
  maxError: number
  /** In dB: 10·log10(peak² / mse). */
  psnr: number
}

/** An autoencoder of images of one size with a vector of numbers between. */
export abstract class LatentModel extends Module {
  readonly architecture: Readonly<LatentArchitecture>
  protected abstract readonly decoder: Sequential

  constructor(architecture: LatentArchitecture) {
    super()
    this.architecture = architecture
  }

  /** Latents that belong to x without chance, [B, latentDim]. */
  protected abstract latentsOf(x: tf.Tensor): tf.Tensor2D

  /** Throws unless x is a batch of images that this model takes. */
  protected expectInput(method: string, x: tf.Tensor, range?: readonly [number, number]): void {
    const operation = `${this.constructor.name}.${method}`
    const { inputSize, inChannels } = this.architecture
    expectImagesOf(operation, x, [...inputSize, inChannels])
    expectUsableValues(operation, x, range)
  }

  /** Latents [B, latentDim] → what the decoder makes of them before its values are bounded, [B, H, W, C]. */
  protected raw(z: tf.Tensor): tf.Tensor4D {
    const { latentDim } = this.architecture
    expectShape(
      z instanceof tf.Tensor && z.rank === 2 && z.shape[1] === latentDim && z.dtype === 'float32',
      `${this.constructor.name}.decode`,
      `float32 latents [B, ${latentDim}]`,
      textOf(z),
      'Pass what `encode` gives.',
    )
    return this.decoder.forward(z) as tf.Tensor4D
  }

  protected bounded(y: tf.Tensor4D): tf.Tensor4D {
    const { outputActivation } = this.architecture
    if (outputActivation === 'sigmoid') return tf.sigmoid(y)
    return outputActivation === 'tanh' ? tf.tanh(y) : y
  }

  /** Latents [B, latentDim] → images [B, H, W, C], bounded by outputActivation. */
  decode(z: tf.Tensor): tf.Tensor4D {
    return tf.tidy(() => this.bounded(this.raw(z)))
  }

  /**
   * Images along the straight line between the latents of x1 and x2, both ends included, in evaluation mode: from two images
   * [H, W, C] to [numSteps, H, W, C], from two batches [B, H, W, C] to [numSteps, B, H, W, C].
   */
  protected between(method: string, x1: tf.Tensor, x2: tf.Tensor, numSteps: number): tf.Tensor {
    const operation = `${this.constructor.name}.${method}`
    expectInteger(operation, 'numSteps', numSteps, 2, 2 ** 20)
    expectShape(
      x1 instanceof tf.Tensor && x2 instanceof tf.Tensor && tf.util.arraysEqual(x1.shape, x2.shape),
      operation,
      'two images, or two batches of equally many',
      `${x1?.shape} and ${x2?.shape}`,
      'Pass images in pairs.',
    )
    return this.evaluate(() => {
      const [a, b] = [x1, x2].map(x => this.latentsOf(x.rank === 3 ? tf.expandDims(x) : x))
      const share = tf.reshape(tf.linspace(0, 1, numSteps), [numSteps, 1, 1])
      const mixed = tf.add(tf.mul(a, tf.sub(1, share)), tf.mul(b, share)) // [numSteps, B, latentDim]
      const images = this.decode(tf.reshape(mixed, [-1, this.architecture.latentDim]))
      return tf.reshape(images, [numSteps, ...x1.shape])
    })
  }

  /**
   * How far reconstructions are from images [B, H, W, C], in evaluation mode. `peak` is the images' largest value, for the
   * PSNR. Default 1.
   */
  calculateReconstructionError(x: tf.Tensor, { peak = 1 }: { peak?: number } = {}): ReconstructionError {
    const operation = `${this.constructor.name}.calculateReconstructionError`
    expectNumber(operation, 'peak', peak, Number.MIN_VALUE, Number.MAX_VALUE)
    const reconstructed = this.evaluate(() => this.decode(this.latentsOf(x)))
    const [found, wanted] = [reconstructed.dataSync(), x.dataSync()]
    reconstructed.dispose()
    const { mse, psnr } = new SquaredError(operation, peak).add(found, wanted)
    let sum = 0
    let maxError = 0
    for (let i = 0; i < found.length; i++) {
      const error = Math.abs(found[i] - wanted[i])
      sum += error
      maxError = Math.max(maxError, error)
    }
    return { mse, rmse: Math.sqrt(mse), mae: sum / found.length, maxError, psnr }
  }

  /** In evaluation mode, tidied, without gradients. */
  protected evaluate<T extends tf.TensorContainer>(f: () => T): T {
    return inEvaluation(this, () => noGrad(() => tf.tidy(f)))
  }
}
