import { uniform } from '../draw.js'

/** What the random calls are drawn from: everything follows from the seed. */

export type Dtype = 'float32' | 'int32' | 'bool' | 'complex64' | 'string'

/** A tensor to be: numbers (pairs of them for complex64) or strings. */
export interface Values {
  shape: number[]
  dtype: Dtype
  data: (number | string)[]
  /** What the tensor says of itself where that is not true. */
  claims?: { shape: number[]; dtype: Dtype }
}

// NaN, infinities, −0, denormal, huge and unrepresentable numbers.
const specialFloats = [
  Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 1e-40, -1e-45, 1e30, -1e30, 1, -1, 0.5, -0.5, 1.5,
  -2.5, 2.5, 16777217, 1e-20, 88.8, -104,
] // biome-ignore format: a list
/** Those whose sums do not depend on the order. */
export const gentle: readonly number[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -0,
  0,
  1e-40,
  -1e-45,
]
const specialInts = [2 ** 31 - 1, -(2 ** 31), 2 ** 24 + 1, -(2 ** 24) - 1, 0, 1, -1, 65536, 46341]
const words = ['', 'a', 'b', 'ab', 'ba', 'a b', 'é', '日本', ' ', 'aaa', 'b,a', 'zz\u0000y']

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

export class Rng {
  /** A chance of 0 to 1. */
  readonly next: () => number

  constructor(seed: number) {
    this.next = uniform(seed)
  }

  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(p: number): boolean {
    return this.next() < p
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]
  }

  shuffle<T>(list: readonly T[]): T[] {
    const out = [...list]
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(0, i)
      ;[out[i], out[j]] = [out[j], out[i]]
    }
    return out
  }

  /** The length of an axis: mostly small, sometimes 1, 0 or more than a vector register holds. */
  size(zero = true): number {
    const v = this.next()
    if (zero && v < 0.06) return 0
    if (v < 0.25) return 1
    return v < 0.95 ? this.int(2, 5) : this.int(6, 37)
  }

  shape(least = 0, most = 6, zero = true): number[] {
    const rank = Math.min(most, least + (this.chance(0.75) ? this.int(0, 3) : this.int(0, 6)))
    const shape = Array.from({ length: rank }, () => this.size(zero))
    // A few hundred elements are enough to find what there is to find.
    for (let i = 0; sizeOf(shape) > 3000; i = (i + 1) % rank) shape[i] = Math.ceil(shape[i] / 2)
    return shape
  }

  /** Two shapes that broadcast against each other. */
  pair(): [number[], number[]] {
    const whole = this.shape()
    const thin = (): number[] => {
      const cut = this.chance(0.3) ? this.int(0, whole.length) : 0
      return whole.slice(cut).map(d => (this.chance(0.25) ? 1 : d))
    }
    return this.chance(0.4) ? [whole, whole] : this.chance(0.5) ? [whole, thin()] : [thin(), thin()]
  }

  /** A tensor; `wild` is the share of numbers that are special. */
  tensor(
    shape: number[],
    dtype: Dtype = 'float32',
    wild = 0,
    special: readonly number[] = specialFloats,
  ): Values {
    const count = sizeOf(shape) * (dtype === 'complex64' ? 2 : 1)
    return { shape, dtype, data: Array.from({ length: count }, () => this.value(dtype, wild, special)) }
  }

  value(dtype: Dtype, wild: number, specials: readonly number[] = specialFloats): number | string {
    if (dtype === 'string') return this.pick(words)
    if (dtype === 'bool') return this.int(0, 1)
    const special = this.chance(wild)
    if (dtype === 'int32') return special ? this.pick(specialInts) : this.int(-9, 9)
    return special ? Math.fround(this.pick(specials)) : Math.fround(this.next() * 4 - 2)
  }

  /** Whole numbers of a range, as int32. */
  ints(shape: number[], least: number, most: number): Values {
    return {
      shape,
      dtype: 'int32',
      data: Array.from({ length: sizeOf(shape) }, () => this.int(least, most)),
    }
  }

  /** Numbers of a range, as float32. */
  floats(shape: number[], least: number, most: number): Values {
    const data = Array.from({ length: sizeOf(shape) }, () =>
      Math.fround(least + this.next() * (most - least)),
    )
    return { shape, dtype: 'float32', data }
  }

  /** Some of the axes, each once, in any order and sometimes counted from the end. */
  axes(rank: number, least = 0): number[] {
    const count = this.int(Math.min(least, rank), rank)
    return this.shuffle([...Array(rank).keys()])
      .slice(0, count)
      .map(a => (this.chance(0.2) ? a - rank : a))
  }

  axis(rank: number): number {
    return this.int(this.chance(0.2) ? -rank : 0, rank - 1)
  }
}
