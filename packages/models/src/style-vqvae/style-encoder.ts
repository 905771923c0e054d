import { type Random, tf } from '@vq/core'
import { Layer, Linear, ReLU, Sequential } from '@vq/core/nn'
import type { StyleVQVAEArchitecture } from './options.js'

const width = 32
// Scores of a new layer are small: so that heads differ from the start, and soon look at one kind of pixels each.
const sharpness = 10

/**
 * What an image looks like wherever things stand: for each head the mean pixel, weighted by a softmax over all pixels of scores
 * that a small network gives each of them, as a vector of its own. [B, H, W, C] twice → [B, heads · styleDim]
 */
export class StyleEncoder extends Layer {
  private readonly scores: Sequential
  private readonly embed: Linear

  constructor(
    { inChannels: c, styleHeads, styleDim }: StyleVQVAEArchitecture,
    generator: { random?: Random },
  ) {
    super()
    this.scores = this.addModule(
      'scores',
      new Sequential(
        new Linear({ inFeatures: 2 * c, outFeatures: width, ...generator }),
        new ReLU(),
        new Linear({ inFeatures: width, outFeatures: styleHeads, ...generator }),
      ),
    )
    this.embed = this.addModule('embed', new Linear({ inFeatures: c, outFeatures: styleDim, ...generator }))
  }

  /** x and the same normalised. */
  override forward(x: tf.Tensor, normal: tf.Tensor = x): tf.Tensor {
    const [b, h, w, c] = x.shape as [number, number, number, number]
    const pixels = tf.reshape(x, [b, h * w, c])
    const seen = tf.concat([pixels, tf.reshape(normal, [b, h * w, c])], 2)
    const scores = tf.transpose(this.scores.forward(seen), [0, 2, 1]) // [B, heads, HW]
    const means = tf.matMul(tf.softmax(tf.mul(scores, sharpness)), pixels) // [B, heads, C]
    return tf.reshape(this.embed.forward(means), [b, -1])
  }
}
