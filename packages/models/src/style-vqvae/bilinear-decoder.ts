// Tenenbaum and Freeman 2000, "Separating style and content with bilinear models",
// https://doi.org/10.1162/089976600300015349, equation 1: what is seen is linear in the content for a style, and the other way round.
import { type Random, tf } from '@vq/core'
import { Layer, Linear, ReLU, Sequential } from '@vq/core/nn'
import { pointwise, upwards } from '../vqvae/architecture.js'
import type { StyleVQVAEArchitecture } from './options.js'

const width = 128

/** content [B, h, w, D] drawn as M maps m of values −1 to 1, style [B, S] as a matrix W and an offset b: m·W + b, [B, H, W, C]. */
export class BilinearDecoder extends Layer {
  private readonly draw: Sequential
  private readonly color: Sequential
  private readonly maps: number

  constructor(a: StyleVQVAEArchitecture, generator: { random?: Random }) {
    super()
    this.maps = a.maps
    const deepest = a.hiddenDims[a.hiddenDims.length - 1] as number
    this.draw = this.addModule(
      'draw',
      new Sequential(
        pointwise(a.embeddingDim, deepest, generator.random),
        ...upwards({ ...a, inChannels: a.maps }, generator.random),
      ),
    )
    this.color = this.addModule(
      'color',
      new Sequential(
        new Linear({ inFeatures: a.styleHeads * a.styleDim, outFeatures: width, ...generator }),
        new ReLU(),
        new Linear({ inFeatures: width, outFeatures: (a.maps + 1) * a.inChannels, ...generator }),
      ),
    )
  }

  override forward(content: tf.Tensor, style: tf.Tensor = content): tf.Tensor {
    const drawn = tf.tanh(this.draw.forward(content)) // [B, H, W, M]
    const [b, h, w] = drawn.shape as [number, number, number]
    const colors = tf.reshape(this.color.forward(style), [b, this.maps + 1, -1])
    const c = colors.shape[2] as number
    const flat = tf.reshape(drawn, [b, h * w, this.maps])
    const seen = tf.add(
      tf.matMul(flat, tf.slice(colors, [0, 1, 0], [-1, -1, -1])),
      tf.slice(colors, [0, 0, 0], [-1, 1, -1]),
    )
    return tf.reshape(seen, [b, h, w, c])
  }
}
