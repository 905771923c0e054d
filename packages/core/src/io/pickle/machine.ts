import { Cut, Flaw } from './flaw.js'
import type { Globals, PickleValue, Spend } from './values.js'

export interface PickleOptions {
  /** The names that the pickle may mention. */
  globals: Globals
  /** What stands behind a persistent id. Without it they are refused. */
  persistent?: ((id: PickleValue) => PickleValue) | undefined
  /** What to do about a name that is refused. */
  refuse?: ((name: string) => string | undefined) | undefined
  /** Bound on memory: most units of 16 bytes that a pickle's values may take. Default: `unitsFor` its bytes. */
  most?: number | undefined
}

/** What values take, in units of 16 bytes, with what they become in the result. */
export const cost = { list: 6, table: 20, entry: 6, tuple: 6, bytes: 16, text: 6, object: 16 } as const

/**
 * Most units for a pickle of so many bytes: 48 for each of its bytes and 64 MiB, at most 512 MiB, and four copies of its bytes,
 * of which most are those of arrays. Small lists and dictionaries take some 40 for each of their bytes.
 */
export function unitsFor(bytes: number): number {
  return Math.min(2 ** 22 + 3 * bytes, 2 ** 25) + Math.ceil(bytes / 4)
}

/** The state of a pickle that is being read: its bytes, stack, marks and memo. */
export class Machine {
  readonly bytes: Uint8Array
  readonly options: PickleOptions
  at: number
  /** Where the frame ends that the pickle is in. */
  frame: number | undefined
  readonly #stack: PickleValue[] = []
  /** How high the stack was at each mark. */
  readonly #marks: number[] = []
  #floor = 0
  // Writers count from 0 on; other indexes lie beside.
  readonly #memo: PickleValue[] = []
  readonly #sparse: Map<number, PickleValue> = new Map()
  readonly #view: DataView
  readonly #most: number
  #left: number

  constructor(bytes: Uint8Array, at: number, options: PickleOptions) {
    // A Buffer's slices would be views, and what is made of them would share the caller's memory.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.options = options
    this.at = at
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#most = options.most ?? unitsFor(bytes.length - at)
    this.#left = this.#most
  }

  /** Counts values that stay, in units of 16 bytes. */
  readonly spend: Spend = units => {
    this.#left -= units
    if (this.#left < 0)
      throw new Flaw(
        `values that take at most ${this.#most * 16} bytes of memory`,
        'more',
        'Save less at once: tensors or arrays instead of lists of numbers.',
      )
  }

  push(value: PickleValue): void {
    this.spend(1)
    this.#stack.push(value)
  }

  pop(): PickleValue {
    const value = this.top()
    this.#stack.pop()
    return value
  }

  top(): PickleValue {
    if (this.#stack.length === this.#floor) throw new Flaw('a value on the stack', 'an empty stack')
    return this.#stack[this.#stack.length - 1]
  }

  mark(): void {
    this.spend(1)
    this.#marks.push(this.#floor)
    this.#floor = this.#stack.length
  }

  /** The values since the last mark, which is gone. */
  popMark(): PickleValue[] {
    const floor = this.#marks.pop()
    if (floor === undefined) throw new Flaw('a mark on the stack', 'none')
    const items = this.#stack.splice(this.#floor)
    this.#floor = floor
    return items
  }

  /** POP takes a mark where nothing lies above it. */
  drop(): void {
    if (this.#stack.length > this.#floor) this.#stack.pop()
    else this.popMark()
  }

  put(index: number): void {
    const value = this.top()
    const dense = index <= this.#memo.length
    this.spend(dense ? 1 : 6)
    if (dense) this.#memo[index] = value
    else this.#sparse.set(index, value)
  }

  memoize(): void {
    this.put(this.#memo.length + this.#sparse.size)
  }

  get(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#sparse.get(index)
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
