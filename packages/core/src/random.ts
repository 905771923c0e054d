import { expectInteger, expectNumber } from './check.js'
import { VqFormatError } from './errors.js'

/** Everything a generator needs to go on where it stopped; plain JSON. */
export interface RandomState {
  /** Key: low and high 32 bits of the seed. */
  seed: [number, number]
  /** Low and high 32 bits of the stream. */
  stream: [number, number]
  /** Low and high 32 bits of the next block's number. */
  block: [number, number]
  /** The current block's outputs that are not used yet. */
  left: number[]
  /** The second normal of the last pair, if it is not used yet. */
  spare: number | null
}

/** A run of blocks that belongs to whoever reserved it: low and high 32 bits of each number. */
export interface RandomBlocks {
  seed: [number, number]
  stream: [number, number]
  /** The first block. */
  block: [number, number]
}

const two32 = 2 ** 32

/**
 * Philox4x32-10: block `counter` (four words) under `key` (two words), written to `out`.
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405.
 */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0] | 0
  let c1 = counter[1] | 0
  let c2 = counter[2] | 0
  let c3 = counter[3] | 0
  let k0 = key[0] | 0
  let k1 = key[1] | 0
  for (let round = 0; round < 10; round++) {
    const high0 = highProduct(0xd2511f53, c0)
    const high1 = highProduct(0xcd9e8d57, c2)
    const low0 = Math.imul(0xd2511f53, c0)
    const low1 = Math.imul(0xcd9e8d57, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + 0x9e3779b9) | 0
    k1 = (k1 + 0xbb67ae85) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

// The upper 32 bits of the 64-bit product of two unsigned words.
function highProduct(a: number, b: number): number {
  const al = a & 0xffff
  const ah = a >>> 16
  const bl = b & 0xffff
  const bh = b >>> 16
  const low = al * bl
  const middle = ah * bl + (low >>> 16)
  const carry = al * bh + (middle % 65536)
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) | 0
}

/**
 * A counter-based generator (Philox4x32-10): the same seed and stream give the same numbers on every machine.
 * Key = seed, counter = (block, stream), the four outputs of a block are used in order.
 *
 * @example
 * const r = new Random(42)
 * r.uniform()          // [0, 1)
 * r.permutation(10)    // Int32Array of 0…9 in random order
 * r.fork(3).normal()   // an independent stream of the same seed
 */
export class Random {
  private key = new Uint32Array(2)
  private counter = new Uint32Array(4)
  private out = new Uint32Array(4)
  private used = 4
  private spare: number | null = null

  /** seed, stream: whole numbers from 0 to 2^53 − 1. */
  constructor(seed = 0, stream = 0) {
    this.seed(seed, stream)
  }

  /** Starts over with this seed and stream. */
  seed(seed: number, stream = 0): this {
    expectInteger('Random.seed', 'seed', seed, 0)
    expectInteger('Random.seed', 'stream', stream, 0)
    this.key.set([seed % two32, Math.floor(seed / two32)])
    this.counter.set([0, 0, stream % two32, Math.floor(stream / two32)])
    this.used = 4
    this.spare = null
    return this
  }

  /** A generator of the same seed at the start of stream `stream`; streams are numbered per seed, so forks of forks with one number agree. */
  fork(stream: number): Random {
    return new Random(this.key[1] * two32 + this.key[0], stream)
  }

  /** 32 random bits, as a whole number from 0 to 2^32 − 1. */
  bits(): number {
    if (this.used === 4) {
      philox4x32(this.counter, this.key, this.out)
      this.counter[0]++
      if (this.counter[0] === 0) this.counter[1]++
      this.used = 0
    }
    return this.out[this.used++]
  }

  /** A number in [low, high) with 53 random bits: ((a>>>5)·2^26 + (b>>>6))·2^−53. */
  uniform(low = 0, high = 1): number {
    const a = this.bits() >>> 5
    const b = this.bits() >>> 6
    return low + (high - low) * ((a * 67108864 + b) * 2 ** -53)
  }

  /** A normal number by Box and Muller, the pair's cosine first. */
  normal(mean = 0, deviation = 1): number {
    let z = this.spare
    this.spare = null
    if (z === null) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
      const angle = 2 * Math.PI * this.uniform()
      z = radius * Math.cos(angle)
      this.spare = radius * Math.sin(angle)
    }
    return mean + deviation * z
  }

  /** A whole number in [0, bound), every one equally likely; bound from 1 to 2^53 − 1. */
  integer(bound: number): number {
    expectInteger('Random.integer', 'bound', bound, 1)
    const wide = bound > two32
    const range = wide ? 2 ** 53 : two32
    const limit = range - (range % bound)
    for (;;) {
      const u = wide ? this.uniform() * 2 ** 53 : this.bits()
      if (u < limit) return u % bound
    }
  }

  /** Shuffles in place (Fisher and Yates, from the end). */
  shuffle<T extends { length: number; [index: number]: unknown }>(array: T): T {
    const a = array as Record<number, unknown>
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.integer(i + 1)
      const t = a[i]
      a[i] = a[j]
      a[j] = t
    }
    return array
  }

  /** The numbers 0 … n − 1 in random order. */
  permutation(n: number): Int32Array {
    expectInteger('Random.permutation', 'n', n, 0, 2 ** 31 - 1)
    const order = new Int32Array(n)
    for (let i = 0; i < n; i++) order[i] = i
    return this.shuffle(order)
  }

  /** Fills with floats of 24 random bits, (u>>>8)·2^−24, scaled to [low, high] and rounded to float32. */
  fillUniform(into: Float32Array, low = 0, high = 1): Float32Array {
    expectNumber('Random.fillUniform', 'low', low, -Number.MAX_VALUE, Number.MAX_VALUE)
    expectNumber('Random.fillUniform', 'high', high, low, Number.MAX_VALUE)
    const scale = (high - low) * 2 ** -24
    for (let i = 0; i < into.length; i++) into[i] = low + (this.bits() >>> 8) * scale
    return into
  }

  /** Fills with normal numbers. */
  fillNormal(into: Float32Array, mean = 0, deviation = 1): Float32Array {
    for (let i = 0; i < into.length; i++) into[i] = this.normal(mean, deviation)
    return into
  }

  /**
   * Hands out the next `blocks` whole blocks (four words each) and goes on behind them; words of a block already begun, and
   * a pair's second normal, are dropped. Tensor ops draw from such runs, and can draw the same numbers again.
   */
  reserve(blocks: number): RandomBlocks {
    expectInteger('Random.reserve', 'blocks', blocks, 0)
    const { key, counter } = this
    const from = counter[0] + counter[1] * two32
    const reserved: RandomBlocks = {
      seed: [key[0], key[1]],
      stream: [counter[2], counter[3]],
      block: [counter[0], counter[1]],
    }
    const next = from + blocks
    this.counter.set([next % two32, Math.floor(next / two32), counter[2], counter[3]])
    this.used = 4
    this.spare = null
    return reserved
  }

  /** A generator at the start of a reserved run. */
  static at({ seed, stream, block }: RandomBlocks): Random {
    const made = new Random()
    made.state = { seed, stream, block, left: [], spare: null }
    return made
  }

  /** What a checkpoint keeps. */
  get state(): RandomState {
    const { key, counter } = this
    return {
      seed: [key[0], key[1]],
      stream: [counter[2], counter[3]],
      block: [counter[0], counter[1]],
      left: Array.from(this.out.subarray(this.used)),
      spare: this.spare,
    }
  }

  set state(state: RandomState) {
    const word = (x: unknown): boolean => Number.isInteger(x) && (x as number) >= 0 && (x as number) < two32
    const pair = (x: unknown): boolean => Array.isArray(x) && x.length === 2 && x.every(word)
    const { seed, stream, block, left, spare } = state ?? {}
    const leftFits = Array.isArray(left) && left.length <= 4 && left.every(word)
    const spareFits = spare === null || Number.isFinite(spare)
    if (!pair(seed) || !pair(stream) || !pair(block) || !leftFits || !spareFits)
      throw new VqFormatError({
        operation: 'Random.state',
        expected: 'a state that a generator gave',
        received: JSON.stringify(state)?.slice(0, 200) ?? 'undefined',
        remedy: 'Pass the `state` of a Random, or start over with seed(n).',
      })
    this.key.set(seed)
    this.counter.set([...block, ...stream])
    this.used = 4 - left.length
    this.out.set(left, this.used)
    this.spare = spare
  }
}

/** The generator that everything uses unless it is given its own; it starts at seed 0. */
export const random: Random = new Random()
