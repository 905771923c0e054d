import type * as tf from '@tensorflow/tfjs-core'
import { ReLU } from './activations.js'
import { BatchNorm } from './batch-norm.js'
import { Layer } from './layer.js'

/** Layers one after another, named '0', '1', … as in PyTorch. */
export class Sequential extends Layer {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers.map((layer, i) => this.addModule(String(i), layer))
  }

  forward(x: tf.Tensor): tf.Tensor {
    let y = x
    for (let i = 0; i < this.layers.length; i++) {
      const layer = this.layers[i]
      const input: tf.Tensor = y
      const fused = layer instanceof BatchNorm && this.layers[i + 1] instanceof ReLU
      y = fused ? layer.forward(input, { relu: true }) : layer.forward(input)
      if (fused) i++
    }
    return y
  }
}
