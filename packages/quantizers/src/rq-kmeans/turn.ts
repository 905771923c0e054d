import { setImmediate } from 'node:timers/promises'
import { VqAbortError } from '@vq/core'

/** Lets other work of the thread have its turn from time to time, and ends a long run when its signal says so. */
export class Turn {
  private since = performance.now()
  private readonly operation: string
  private readonly signal: AbortSignal | undefined

  constructor(operation: string, signal: AbortSignal | undefined) {
    this.operation = operation
    this.signal = signal
  }

  async pass(): Promise<void> {
    if (this.signal?.aborted) throw new VqAbortError(this.operation, this.signal.reason)
    if (performance.now() - this.since < 20) return
    await setImmediate()
    this.since = performance.now()
    if (this.signal?.aborted) throw new VqAbortError(this.operation, this.signal.reason)
  }
}
