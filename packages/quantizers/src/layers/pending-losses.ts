import { tf } from '@vq/core'

/**
 * Losses between a layer's `call`, which makes them, and the model's `calculateLosses`, which adds them to its own. Both run
 * while one gradient is recorded; what belongs to another one is stale, and adding it would be wrong.
 */
export class PendingLosses {
  private held: tf.Scalar[] = []
  private tape: unknown

  /** Keeps the loss, where a gradient is being recorded. */
  add(loss: tf.Scalar): void {
    const tape = currentTape()
    if (tape !== this.tape) this.clear()
    this.tape = tape
    // Kept: a model inside of a model tidies up after its layers.
    if (tape !== undefined) this.held.push(tf.keep(tf.clone(loss)))
  }

  /** The sum of what was added since, with its gradients; 0 where nothing was. A second call finds nothing left. */
  take(): tf.Scalar {
    const fresh = this.held.length > 0 && this.tape === currentTape()
    const sum = fresh ? tf.addN<tf.Scalar>(this.held) : tf.scalar(0)
    this.clear()
    return sum
  }

  clear(): void {
    tf.dispose(this.held)
    this.held = []
    this.tape = undefined
  }
}

function currentTape(): unknown {
  return tf.engine().state.activeTape ?? undefined
}
