import * as tf from '@tensorflow/tfjs-core'
import type { Activation } from '../ops/activation.js'
import { GELU, ReLU, Sigmoid, SiLU, Tanh } from './activations.js'
import { BatchNorm } from './batch-norm.js'
import { Layer } from './layer.js'
import { Linear } from './linear.js'
import { Module } from './module.js'

/** Layers one after another, named '0', '1', … as in PyTorch. An activation behind a Linear or BatchNorm runs with it as one. */
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
        const joined = together(layer, this.layers[i + 1], y)
        y = joined ?? layer.forward(y)
        if (joined !== undefined) i++
      }
      return y
    })
  }
}

/** What a layer and the next make of x, where one pass does both. */
function together(layer: Layer, next: Layer | undefined, x: tf.Tensor): tf.Tensor | undefined {
  const activation = next && nameOf(next)
  if (activation === undefined) return undefined
  if (layer instanceof Linear) return layer.forward(x, { activation })
  return layer instanceof BatchNorm && activation === 'relu' ? layer.forward(x, { relu: true }) : undefined
}

// A class of its own that extends one of these may do something else.
function nameOf(layer: Layer): Activation | undefined {
  switch (layer.constructor) {
    case ReLU:
      return 'relu'
    case GELU:
      return (layer as GELU).approximate === 'tanh' ? 'gelu_tanh' : 'gelu'
    case SiLU:
      return 'silu'
    case Tanh:
      return 'tanh'
    case Sigmoid:
      return 'sigmoid'
    default:
      return undefined
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
