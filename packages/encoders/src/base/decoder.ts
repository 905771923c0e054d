import { expectShape, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { fitsShape, shapeText } from './encoder.js'

/**
 * The base of every decoder: latents [B, ...inputShape] to outputs [B, ...outputShape]. A subclass says both shapes and
 * implements `decode`; shapes and types are checked here.
 */
export abstract class BaseDecoder extends Module {
  /** Shape of one latent, null where any size goes. */
  abstract readonly inputShape: readonly (number | null)[]
  /** Shape of one output, null where it follows the latent's. */
  abstract readonly outputShape: readonly (number | null)[]

  /** z is of the promised shape and type. */
  protected abstract decode(z: tf.Tensor): tf.Tensor

  /** Throws VqShapeError for latents of another shape or type, and where `decode` breaks its promise. */
  forward(z: tf.Tensor): tf.Tensor {
    expectShape(
      fitsShape(z.shape, this.inputShape) && z.dtype === 'float32',
      `${this.constructor.name}.forward`,
      `float32 latents ${shapeText(this.inputShape)}`,
      `a tensor [${z.shape.join(', ')}] of ${z.dtype}`,
      'Pass a batch of latents, channels last.',
    )
    return tf.tidy(() => {
      const y = this.decode(z)
      expectShape(
        fitsShape(y.shape, this.outputShape) && y.shape[0] === z.shape[0],
        `${this.constructor.name}.decode`,
        `to give ${shapeText(this.outputShape)} for ${z.shape[0]} latents`,
        `[${y.shape.join(', ')}]`,
        'Make outputShape the shape of what decode gives.',
      )
      return y
    })
  }
}
