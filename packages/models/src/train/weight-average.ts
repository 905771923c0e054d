import { expectNumber, tf } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import type { Module } from '@vq/core/nn'

/**
 * An exponential moving average of a module's parameters: after step t, a ← d·a + (1 − d)·p with
 * d = min(decay, (1 + t) / (10 + t)), so that the first steps are forgotten. Buffers (running statistics, codebooks that
 * move by their own averages) are averages already and stay as the module has them.
 * Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; the rising decay is TensorFlow's
 * ExponentialMovingAverage with `num_updates`.
 *
 * @example
 * const average = new WeightAverage(model, 0.999)
 * average.update()                                  // after each step
 * average.during(() => evaluate(model))             // with the averaged weights
 */
export class WeightAverage {
  readonly decay: number
  /** Steps that went into the average. */
  updates = 0
  private readonly module: Module
  private readonly parameters: tf.Variable[]
  private readonly averages: tf.Variable[]
  private swapped = false

  constructor(module: Module, decay: number) {
    expectNumber('WeightAverage', 'decay', decay, 0, 1 - 1e-9)
    this.module = module
    this.decay = decay
    this.parameters = module.namedParameters().map(p => p.variable)
    this.averages = this.parameters.map(p => copyOf(p))
  }

  /** Takes the module's parameters, as they are now, into the average. */
  update(): void {
    const t = this.updates++
    const d = Math.min(this.decay, (1 + t) / (10 + t))
    tf.tidy(() => {
      for (const [i, average] of this.averages.entries())
        average.assign(tf.add(tf.mul(average, d), tf.mul(this.parameters[i], 1 - d)))
    })
  }

  /** Exchanges the module's parameters and the averages; a second call puts both back, to the bit. */
  swap(): void {
    this.swapped = !this.swapped
    tf.tidy(() => {
      for (const [i, average] of this.averages.entries()) {
        const parameter = this.parameters[i]
        const value = tf.clone(parameter)
        parameter.assign(average)
        average.assign(value)
      }
    })
  }

  /** Runs `f` while the module has the averaged weights. */
  async during<T>(f: () => T | Promise<T>): Promise<T> {
    this.swap()
    try {
      return await f()
    } finally {
      this.swap()
    }
  }

  /** The whole module with the averaged weights, as its own `stateDict`: of use alone. */
  stateDict(): StateDict {
    this.swap()
    try {
      return this.module.stateDict()
    } finally {
      this.swap()
    }
  }

  /** Takes what `stateDict` gave; the module keeps its own weights. */
  loadStateDict(state: Readonly<StateDict>, updates: number): void {
    const own = this.module.stateDict()
    this.module.loadStateDict(state)
    for (const [i, average] of this.averages.entries()) average.assign(this.parameters[i])
    this.module.loadStateDict(own)
    this.updates = updates
  }

  /** Gives the module the averaged weights for good. */
  apply(): void {
    for (const [i, average] of this.averages.entries()) this.parameters[i].assign(average)
  }

  /** Starts over from the module's parameters as they are now. */
  reset(): void {
    for (const [i, average] of this.averages.entries()) average.assign(this.parameters[i])
    this.updates = 0
  }

  dispose(): void {
    if (this.swapped) this.swap()
    tf.dispose(this.averages)
  }
}

function copyOf(parameter: tf.Variable): tf.Variable {
  return tf.tidy(() => tf.variable(tf.clone(parameter), false))
}
