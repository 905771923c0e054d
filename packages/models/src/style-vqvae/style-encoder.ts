import { type Random, tf } from '@vq/core'
import { Layer, Linear, ReLU, Sequential } from '@vq/core/nn'
import type { StyleVQVAEArchitecture } from './options.js'

const width = 32
// Scores of a new layer are small: so that heads differ from the start, and soon have one kind of pixels each.
const sharpness = 10

/**
 * What an image looks like wherever things stand: heads share its pixels among each other, by a softmax over the heads of scores that
 * a small network gives each pixel, and each has the mean of its share, as a vector of its own. [B, H, W, C] twice →
 * [B, heads · styleDim]. That heads compete is of Locatello et al. 2020, "Object-centric learning with slot attention",
 * https://arxiv.org/abs/2006.15055, algorithm 1 lines 7 and 8, with scores that are learned at once instead of found by turns.
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
    const shares = tf.softmax(tf.mul(this.scores.forward(seen), sharpness)) // [B, HW, heads]
    const weights = tf.div(shares, tf.add(tf.sum(shares, 1, true), 1e-6))
    const means = tf.matMul(weights, pixels, true) // [B, heads, C]
    return tf.reshape(this.embed.forward(means), [b, -1])
  }
}
