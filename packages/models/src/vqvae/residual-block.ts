import { type Random, tf } from '@vq/core'
import { BatchNorm, Conv2d, Layer, ReLU, Sequential } from '@vq/core/nn'

/** relu(x + f(x)), f = 3×3 to `hidden`, ReLU, 1×1 back: the block of van den Oord et al. 2017, section 4.1. */
export class ResidualBlock extends Layer {
  private readonly body: Sequential

  constructor(channels: number, hidden: number, random?: Random) {
    super()
    const generator = random === undefined ? {} : { random }
    this.body = this.addModule(
      'body',
      new Sequential(
        new Conv2d({ inChannels: channels, outChannels: hidden, kernelSize: 3, padding: 1, ...generator }),
        new ReLU(),
        new Conv2d({ inChannels: hidden, outChannels: channels, kernelSize: 1, ...generator }),
      ),
    )
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.relu(tf.add(x, this.body.forward(x)))
  }
}

/**
 * x + f(x), f = BN, ReLU, 3×3, BN, ReLU, 1×1.
 * Source: He et al. 2016, "Identity mappings in deep residual networks", https://arxiv.org/abs/1603.05027.
 */
export class PreActivationBlock extends Layer {
  private readonly body: Sequential

  constructor(channels: number, random?: Random) {
    super()
    const same = { inChannels: channels, outChannels: channels, ...(random === undefined ? {} : { random }) }
    this.body = this.addModule(
      'body',
      new Sequential(
        new BatchNorm({ numFeatures: channels }),
        new ReLU(),
        new Conv2d({ ...same, kernelSize: 3, padding: 1 }),
        new BatchNorm({ numFeatures: channels }),
        new ReLU(),
        new Conv2d({ ...same, kernelSize: 1 }),
      ),
    )
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.add(x, this.body.forward(x))
  }
}
