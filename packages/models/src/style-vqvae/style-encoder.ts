import { type Random, tf } from '@vq/core'
import { Layer, Linear, ReLU, Sequential } from '@vq/core/nn'
import type { StyleVQVAEArchitecture } from './options.js'

const [scoreWidth, width] = [32, 128]

/**
 * What an image looks like wherever things stand: for each head the mean pixel, weighted by a softmax over all pixels of scores
 * that a small network gives each of them, and what two layers make of these means. [B, H, W, C] twice → [B, styleDim]
 */
export class StyleEncoder extends Layer {
  private readonly scores: Sequential
  private readonly mix: Sequential

  constructor(
    { inChannels: c, styleHeads, styleDim }: StyleVQVAEArchitecture,
    generator: { random?: Random },
  ) {
    super()
    this.scores = this.addModule(
      'scores',
      new Sequential(
        new Linear({ inFeatures: 2 * c, outFeatures: scoreWidth, ...generator }),
        new ReLU(),
        new Linear({ inFeatures: scoreWidth, outFeatures: styleHeads, ...generator }),
      ),
    )
    this.mix = this.addModule(
      'mix',
      new Sequential(
        new Linear({ inFeatures: styleHeads * c, outFeatures: width, ...generator }),
        new ReLU(),
        new Linear({ inFeatures: width, outFeatures: styleDim, ...generator }),
      ),
    )
  }

  /** x and the same normalised. */
  override forward(x: tf.Tensor, normal: tf.Tensor = x): tf.Tensor {
    const [b, h, w, c] = x.shape as [number, number, number, number]
    const pixels = tf.reshape(x, [b, h * w, c])
    const seen = tf.concat([pixels, tf.reshape(normal, [b, h * w, c])], 2)
    const scores = tf.transpose(this.scores.forward(seen), [0, 2, 1]) // [B, heads, HW]
    const means = tf.matMul(tf.softmax(scores), pixels) // [B, heads, C]
    return this.mix.forward(tf.reshape(means, [b, -1]))
  }
}
