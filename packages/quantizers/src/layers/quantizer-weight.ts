// tfjs-layers keeps a weight as a LayerVariable around a tf.Variable of its own. Here the variable stays the quantizer's, so
// that what an optimiser, a loaded file or a moving average writes is the same memory.

import { LayerVariable } from '@tensorflow/tfjs-layers'
import { tf } from '@vq/core'
import type { Counter, Module } from '@vq/core/nn'

/** A parameter, buffer or counter of a quantizer as a weight of a layer. */
export class QuantizerWeight extends LayerVariable {
  private readonly freeze: (on: boolean) => void
  private readonly learned: boolean
  private readonly counter: Counter | undefined

  /** `name` is scoped by tfjs-layers to that of the layer that is being built. A counter becomes an int32 scalar. */
  constructor(name: string, held: tf.Variable | Counter, learned: boolean, freeze: (on: boolean) => void) {
    const given = held instanceof tf.Variable ? held : tf.tidy(() => tf.scalar(held.value, 'int32'))
    super(given, given.dtype, name, false)
    this.freeze = freeze
    this.learned = learned
    this.counter = held instanceof tf.Variable ? undefined : held
    if (held instanceof tf.Variable) this.hold(held)
    else given.dispose()
  }

  private hold(variable: tf.Variable): void {
    this.val.dispose()
    // Read-only outside of LayerVariable's own constructor.
    ;(this as unknown as { val: tf.Variable }).val = variable
  }

  override read(): tf.Variable {
    const value = super.read() as tf.Variable
    const { counter } = this
    if (counter !== undefined) tf.tidy(() => value.assign(tf.scalar(counter.value, 'int32')))
    return value
  }

  override write(value: tf.Tensor): this {
    super.write(value)
    if (this.counter !== undefined) this.counter.value = value.dataSync()[0]
    return this
  }

  /** Whether an optimiser moves it. */
  override get trainable(): boolean {
    return this.learned && this.val.trainable
  }

  // Layers and models set it on all weights of a layer: moving averages have to stop as parameters do.
  override set trainable(on: boolean) {
    this.freeze(!on)
  }

  override dispose(): void {
    if (!this.val.isDisposed) super.dispose()
  }
}

/** The weights of a quantizer by their names on disk, each once. `freeze` is told when one is to stay as it is, or no more. */
export function weightsOf(quantizer: Module, freeze: (on: boolean) => void): QuantizerWeight[] {
  const learned = new Set(quantizer.namedParameters().map(({ variable }) => variable))
  const seen = new Set<unknown>()
  return [...quantizer.slotsToLoad()].flatMap(([name, slot]) => {
    const held = 'variable' in slot ? slot.variable : slot
    if (seen.has(held)) return []
    seen.add(held)
    return [new QuantizerWeight(name, held, 'variable' in slot && learned.has(slot.variable), freeze)]
  })
}
