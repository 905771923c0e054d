import { tf } from '@vq/core'
import type { BatchNorm, Layer, Linear } from '@vq/core/nn'
import { BaseDecoder } from './decoder.js'

/** An embedding made a small map by a linear layer, enlarged stage by stage, and turned into pixels. */
export abstract class EnlargingDecoder extends BaseDecoder {
  /** Shape of the small map, channels last. */
  protected abstract readonly first: readonly number[]
  protected abstract readonly linear: Linear
  protected abstract readonly norm: BatchNorm
  protected abstract readonly stages: Iterable<Layer>
  protected abstract readonly pixels: Layer
  protected abstract readonly activation: 'linear' | 'sigmoid' | 'tanh'

  protected decode(z: tf.Tensor): tf.Tensor {
    let x: tf.Tensor = tf.reshape(this.linear.forward(z), [z.shape[0]!, ...this.first])
    x = this.norm.forward(x, { relu: true })
    for (const stage of this.stages) x = stage.forward(x)
    const y = this.pixels.forward(x)
    if (this.activation === 'linear') return y
    return this.activation === 'sigmoid' ? tf.sigmoid(y) : tf.tanh(y)
  }
}
