import type { Estate, NativeData } from './data.js'

const youngTensors = 1024
const youngBytes = 32 << 20

/**
 * Frees tensors that nobody disposed of, once the garbage collector has found them. Watching an object costs 0.3 µs, a
 * third of a small kernel, and most tensors are disposed of at once: new ones wait in a list, and those that are still
 * alive when it is full are watched.
 */
export class Forgotten {
  private readonly registry: FinalizationRegistry<Estate>
  private readonly onSettle: () => void
  private readonly young: (NativeData | undefined)[] = new Array(youngTensors).fill(undefined)
  private count = 0
  private bytes = 0

  /** `free` is called for each forgotten tensor; `onSettle` each time the list was full. */
  constructor(free: (estate: Estate) => void, onSettle: () => void) {
    this.registry = new FinalizationRegistry(free)
    this.onSettle = onSettle
  }

  watch(data: NativeData, bytes: number): void {
    this.young[this.count++] = data
    this.bytes += bytes
    if (this.count === youngTensors || this.bytes > youngBytes) this.settle()
  }

  unwatch(data: NativeData): void {
    if (data.estate === undefined) return
    this.registry.unregister(data)
    data.estate = undefined
  }

  private settle(): void {
    for (let i = 0; i < this.count; i++) {
      const data = this.young[i] as NativeData
      this.young[i] = undefined
      if (data.refs === 0 || data.inner) continue
      const parts = data.parts ?? []
      const owned = parts.length > 0 ? parts : data.strings === undefined ? [data] : []
      const handles = owned.map(part => part.handle)
      data.estate = { handles, ids: 1 + parts.length, bytes: data.bytes, refs: data.refs }
      this.registry.register(data, data.estate, data)
    }
    this.count = 0
    this.bytes = 0
    this.onSettle()
  }
}
