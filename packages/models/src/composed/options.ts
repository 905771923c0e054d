import type { Random, tf } from '@vq/core'

export type PartName = 'encoder' | 'quantizer' | 'decoder'

export type ReconstructionLoss = (reconstructed: tf.Tensor, x: tf.Tensor, mask?: tf.Tensor) => tf.Scalar

export interface MaskOptions {
  /**
   * bool or int32 [B, T]: 0 leaves a position out. A BaseEncoder gets it; so does the quantizer where it quantizes positions: then
   * masked codes are −1 and masked vectors 0.
   */
  mask?: tf.Tensor
}

export interface ComposedVQVAEOptions {
  /** Which of a BaseEncoder's outputs is quantized: [B, D], or one vector per position, [B, T, D]. Default 'embedding'. */
  latents?: 'embedding' | 'sequence'
  /** Width of the encoder's latents. Default: a BaseEncoder's embeddingDim, else the quantizer's dim. */
  encoderDim?: number
  /** Width of the decoder's input. Default: the last size of a BaseDecoder's inputShape, else the quantizer's dim. */
  decoderDim?: number
  /** Parts that stay as they are. Default: all train. */
  freeze?: Partial<Record<PartName, boolean>>
  /** Compares what the decoder gives with the input, and knows the mask where one was given. Default: the mean squared error. */
  reconstructionLoss?: ReconstructionLoss
  /** Draws the initial weights of projections. Default: the global generator. */
  random?: Random
}

// A type, not an interface: tf.tidy wants an index signature.
export type ComposedVQVAEOutput = {
  /** What the decoder gave. */
  reconstructed: tf.Tensor
  /** reconstructionLoss + vqLoss: what training minimises. */
  loss: tf.Scalar
  reconstructionLoss: tf.Scalar
  vqLoss: tf.Scalar
  /** The quantizer's, 1 … K. */
  perplexity: tf.Scalar
  /** int32 [...] over the latents' places, or [..., Q]. */
  indices: tf.Tensor
}
