import { expectConfig } from '../check.js'
import { fromNative, VqDeviceError } from '../errors.js'
import { native } from '../native.js'
import { typedArray } from '../quantize/arrays.js'
import { cudaDevice } from './library.js'

type Values = Float32Array | Int32Array
type KindOf<T extends Values> = T extends Float32Array ? 'Float32Array' : 'Int32Array'

// What nobody disposed of goes with its owner.
const forgotten = new FinalizationRegistry<{ handle: number }>(held => {
  if (held.handle > 0) native().cudaRelease(held.handle)
})

/**
 * Numbers that stay on the CUDA device between calls. The functions that take `device: 'cuda'` take it in place
 * of a typed array; where their vectors are a DeviceArray, so are their results. Dispose of it when done: the garbage
 * collector sees only a few bytes of it.
 *
 * @example
 * const codebook = DeviceArray.upload(Float32Array.of(0, 0, 4, 4))
 * nearest(Float32Array.of(0, 1), codebook, { dim: 2 }).indices // [0], found on the device
 * codebook.dispose()
 */
export class DeviceArray<T extends Values = Float32Array> {
  readonly length: number
  readonly kind: KindOf<T>
  readonly #held: { handle: number }

  private constructor(handle: number, length: number, kind: KindOf<T>) {
    this.#held = { handle }
    this.length = length
    this.kind = kind
    forgotten.register(this, this.#held, this)
  }

  /** Copies a Float32Array or Int32Array to the device. Throws a VqDeviceError where there is none, with the reason. */
  static upload<T extends Values>(values: T): DeviceArray<T> {
    const operation = 'DeviceArray.upload'
    const kind =
      Object.prototype.toString.call(values) === '[object Int32Array]' ? 'Int32Array' : 'Float32Array'
    const plain = typedArray(operation, 'values', values, kind)
    const device = cudaDevice(operation)
    const handle = guarded(operation, () => native().cudaUpload(device, plain))
    return new DeviceArray<T>(handle, plain.length, kind as KindOf<T>)
  }

  /** Takes over what a native call left on the device. */
  static adopt<T extends Values>(handle: number, length: number, kind: KindOf<T>): DeviceArray<T> {
    return new DeviceArray<T>(handle, length, kind)
  }

  /** A copy of the numbers. */
  read(): T {
    const into = this.kind === 'Float32Array' ? new Float32Array(this.length) : new Int32Array(this.length)
    guarded('DeviceArray.read', () => native().cudaRead(this.handle('DeviceArray.read'), into))
    return into as T
  }

  /** Frees the memory on the device; a call that still runs on it is not disturbed. Once more does nothing. */
  dispose(): void {
    if (this.disposed) return
    forgotten.unregister(this)
    native().cudaRelease(this.#held.handle)
    this.#held.handle = 0
  }

  get disposed(): boolean {
    return this.#held.handle === 0
  }

  /** The addon's handle. Throws a VqDeviceError once disposed of. */
  handle(operation: string): number {
    if (!this.disposed) return this.#held.handle
    throw new VqDeviceError({
      operation,
      expected: 'a DeviceArray that holds memory',
      received: 'one that was disposed of',
      remedy: 'Upload it again, or dispose of it later.',
    })
  }

  /** Becomes what another one holds, which is empty then. Lengths and kinds are the same. */
  become(other: DeviceArray<T>): void {
    if (this.disposed) {
      other.dispose()
      return
    }
    native().cudaRelease(this.#held.handle)
    this.#held.handle = other.#held.handle
    forgotten.unregister(other)
    other.#held.handle = 0
  }
}

/** Frees what a result that nobody gets holds on the device. */
export function discard(result: unknown): void {
  if (ArrayBuffer.isView(result)) return // whose values are many
  for (const part of [result, ...Object.values(Object(result))])
    if (part instanceof DeviceArray) part.dispose()
}

/** An argument of a call: its length, and what the addon takes. */
export interface Operand<T extends Values> {
  length: number
  native: T | number
}

/** `value` as a typed array or, where the call runs on the device, a DeviceArray of the same kind. */
export function operand<T extends Values>(
  operation: string,
  name: string,
  value: unknown,
  kind: KindOf<T>,
): Operand<T> {
  if (!(value instanceof DeviceArray)) {
    const array = typedArray(operation, name, value, kind) as unknown as T
    return { length: array.length, native: array }
  }
  const remedy = `Upload a ${kind}.`
  const text = `a DeviceArray of ${value.kind}`
  expectConfig(value.kind === kind, operation, `${name} to hold a ${kind}`, text, remedy)
  return { length: value.length, native: value.handle(operation) }
}

function guarded<R>(operation: string, f: () => R): R {
  try {
    return f()
  } catch (error) {
    throw fromNative(operation, error)
  }
}
