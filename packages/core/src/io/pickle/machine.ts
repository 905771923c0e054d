import { Cut, Flaw } from './flaw.js'
import type { Globals, PickleValue } from './values.js'

export interface PickleOptions {
  /** The names that the pickle may mention. */
  globals: Globals
  /** What stands behind a persistent id. Without it they are refused. */
  persistent?: ((id: PickleValue) => PickleValue) | undefined
  /** What to do about a name that is refused. */
  refuse?: ((name: string) => string | undefined) | undefined
  /** Bound on memory, in units of about 16 bytes: most values that a pickle may make. Default 2^25. */
  most?: number | undefined
}

/** A list or dictionary of its own takes as much memory as this many numbers. */
export const container = 16

/** The state of a pickle that is being read: its bytes, stack, marks and memo. */
export class Machine {
  readonly bytes: Uint8Array
  readonly options: PickleOptions
  readonly memo: Map<number, PickleValue> = new Map()
  at: number
  /** Where the frame ends that the pickle is in. */
  frame: number | undefined
  stack: PickleValue[] = []
  readonly #marks: PickleValue[][] = []
  readonly #view: DataView
  #left: number

  constructor(bytes: Uint8Array, at: number, options: PickleOptions) {
    // A Buffer's slices would be views, and what is made of them would share the caller's memory.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.options = options
    this.at = at
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#left = options.most ?? 2 ** 25
  }

  /** Counts values that stay. */
  spend(units: number): void {
    this.#left -= units
    if (this.#left < 0)
      throw new Flaw(
        `at most ${this.options.most ?? 2 ** 25} values`,
        'more',
        'Save less at once: tensors or arrays instead of lists of numbers.',
      )
  }

  push(value: PickleValue): void {
    this.spend(1)
    this.stack.push(value)
  }

  pop(): PickleValue {
    const value = this.stack.pop()
    if (value === undefined) throw new Flaw('a value on the stack', 'an empty stack')
    return value
  }

  top(): PickleValue {
    const value = this.stack.at(-1)
    if (value === undefined) throw new Flaw('a value on the stack', 'an empty stack')
    return value
  }

  mark(): void {
    this.spend(container)
    this.#marks.push(this.stack)
    this.stack = []
  }

  /** The values since the last mark, which is gone. */
  popMark(): PickleValue[] {
    const items = this.stack
    const stack = this.#marks.pop()
    if (stack === undefined) throw new Flaw('a mark on the stack', 'none')
    this.stack = stack
    return items
  }

  /** POP takes a mark where nothing lies above it. */
  drop(): void {
    if (this.stack.length > 0) this.stack.pop()
    else this.popMark()
  }

  put(index: number): void {
    this.spend(2)
    this.memo.set(index, this.top())
  }

  get(index: number): void {
    const value = this.memo.get(index)
    if (value === undefined) throw new Flaw('a value that was memoised', `memo index ${index}`)
    this.push(value)
  }

  /** Bytes of the pickle itself, not copied. */
  take(length: number): Uint8Array {
    const from = this.advance(length)
    return this.bytes.subarray(from, from + length)
  }

  byte(): number {
    return this.bytes[this.advance(1)]
  }

  uint16(): number {
    return this.#view.getUint16(this.advance(2), true)
  }

  uint32(): number {
    return this.#view.getUint32(this.advance(4), true)
  }

  int32(): number {
    return this.#view.getInt32(this.advance(4), true)
  }

  /** A length of eight bytes. */
  uint64(): number {
    const value = this.#view.getBigUint64(this.advance(8), true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Flaw('a length', `${value}`)
    return Number(value)
  }

  float64(): number {
    return this.#view.getFloat64(this.advance(8), false)
  }

  /** Text up to the end of the line, as Latin-1. */
  line(most: number): string {
    const end = this.bytes.indexOf(10, this.at)
    if (end < 0) throw new Cut('a line that ends', 'the end of the bytes')
    if (end - this.at > most) throw new Flaw(`a line of at most ${most} bytes`, `${end - this.at}`)
    const line = this.take(end - this.at)
    this.at++
    return Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1')
  }

  advance(length: number): number {
    const from = this.at
    if (length > this.bytes.length - from)
      throw new Cut(`${length} more bytes`, `${this.bytes.length - from} before the end`)
    this.at = from + length
    return from
  }
}
