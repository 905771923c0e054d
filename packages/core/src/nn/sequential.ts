import * as tf from '@tensorflow/tfjs-core'
import { ReLU } from './activations.js'
import { BatchNorm } from './batch-norm.js'
import { Layer } from './layer.js'
import { Module } from './module.js'

/** Layers one after another, named '0', '1', … as in PyTorch. */
export class Sequential extends Layer {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers.map((layer, i) => this.addModule(String(i), layer))
  }

  forward(x: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      let y = x
      for (let i = 0; i < this.layers.length; i++) {
        const layer = this.layers[i]
        const fused = layer instanceof BatchNorm && this.layers[i + 1] instanceof ReLU
        y = fused ? layer.forward(y, { relu: true }) : layer.forward(y)
        if (fused) i++
      }
      return y
    })
  }
}

/**
 * Modules under the names '0', '1', …, for a module that runs them itself; it can be iterated.
 *
 * @example
 * readonly blocks = this.addModule('blocks', new ModuleList(times(4, () => new TransformerBlock(options))))
 */
export class ModuleList<M extends Module = Module> extends Module implements Iterable<M> {
  readonly modules: readonly M[]

  constructor(modules: Iterable<M> = []) {
    super()
    this.modules = Array.from(modules, (module, i) => this.addModule(String(i), module))
  }

  get length(): number {
    return this.modules.length
  }

  [Symbol.iterator](): Iterator<M> {
    return this.modules[Symbol.iterator]()
  }
}
