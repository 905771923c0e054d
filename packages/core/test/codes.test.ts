// Finite scalar and lookup-free codes on typed arrays, beside the formulas in double.
import {
  fsqDecode,
  fsqEncode,
  fsqEncodeAsync,
  lfqDecode,
  lfqEncode,
  lfqEncodeAsync,
  native,
  Random,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'

afterEach(() => native().setIsa('auto'))

const normal = (n: number, seed: number): Float32Array =>
  new Random(seed).fillNormal(new Float32Array(n), 0, 1.3)

/** Levels as a number, before rounding: appendix A.1 of arXiv 2309.15505, or section 3.2 of arXiv 2411.19842. */
function bounded(z: number, l: number, bound: 'original' | 'symmetric'): number {
  if (bound === 'symmetric') return ((l - 1) * (Math.tanh(z) + 1)) / 2
  const half = ((l - 1) * (1 - 1e-3)) / 2
  const offset = l % 2 === 0 ? 0.5 : 0
  return Math.tanh(z + Math.tan(offset / half)) * half - offset
}

const levelLists = fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 1, maxLength: 7 })
const bounds = fc.constantFrom('original' as const, 'symmetric' as const)

test('an FSQ code names the level nearest to the bounded number, in mixed radix', () => {
  fc.assert(
    fc.property(levelLists, bounds, fc.nat(), (levels, bound, seed) => {
      const dim = levels.length
      const z = normal(40 * dim, seed)
      const codes = fsqEncode(z, { levels, bound })
      const values = fsqDecode(codes, { levels, bound })
      for (let i = 0; i < 40; i++) {
        let rest = codes[i]!
        for (const [d, l] of levels.entries()) {
          const level = rest % l
          rest = Math.floor(rest / l)
          const b = bounded(z[i * dim + d]!, l, bound) + (bound === 'original' ? Math.floor(l / 2) : 0)
          expect(Math.abs(b - level)).toBeLessThan(0.5 + 1e-5)
          const value = bound === 'original' ? level / Math.floor(l / 2) - 1 : (2 * level) / (l - 1) - 1
          expect(values[i * dim + d]).toBe(Math.fround(value))
        }
        expect(rest).toBe(0)
      }
    }),
    { numRuns: 60 },
  )
})

test('an LFQ code is the signs, the first dimension being the highest bit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 31 }), fc.nat(), (dim, seed) => {
      const z = normal(20 * dim, seed)
      z[0] = 0 // counts as negative
      const codes = lfqEncode(z, { dim })
      const values = lfqDecode(codes, { dim, scale: 0.5 })
      for (let i = 0; i < 20; i++) {
        const bits = Array.from(z.subarray(i * dim, (i + 1) * dim), v => (v > 0 ? 1 : 0))
        expect(codes[i]).toBe(Number.parseInt(bits.join(''), 2))
        expect(Array.from(values.subarray(i * dim, (i + 1) * dim))).toEqual(bits.map(b => b - 0.5))
      }
    }),
    { numRuns: 60 },
  )
})

test('codes do not depend on instruction set, threads, the batch or the thread that they are made on', async () => {
  const levels = [8, 5, 5, 5]
  const z = normal(3001 * 4, 1)
  const [fsq, lfq] = [fsqEncode(z, { levels, threads: 1 }), lfqEncode(z, { dim: 4, threads: 1 })]
  for (const isa of native().isaList()) {
    native().setIsa(isa)
    for (const threads of [1, 2, 5]) {
      expect(fsqEncode(z, { levels, threads })).toEqual(fsq)
      expect(lfqEncode(z, { dim: 4, threads })).toEqual(lfq)
    }
    const parts = [z.subarray(0, 4 * 17), z.subarray(4 * 17)].map(part => [...fsqEncode(part, { levels })])
    expect(Int32Array.from(parts.flat())).toEqual(fsq)
  }
  expect(await fsqEncodeAsync(z, { levels })).toEqual(fsq)
  expect(await lfqEncodeAsync(z, { dim: 4 })).toEqual(lfq)
})

test('codes reach 2^31 − 1', () => {
  const levels = [65536, 32767]
  const size = 65536 * 32767
  expect(fsqEncode(Float32Array.of(20, 20, -20, -20), { levels, bound: 'symmetric' })).toEqual(
    Int32Array.of(size - 1, 0),
  )
  expect(fsqDecode(Int32Array.of(size - 1), { levels, bound: 'symmetric' })).toEqual(Float32Array.of(1, 1))
  expect(lfqEncode(new Float32Array(31).fill(1), { dim: 31 })).toEqual(Int32Array.of(2 ** 31 - 1))
})

test('what has no code is refused by name', async () => {
  const z = normal(40, 2)
  z[26] = Number.NaN
  const levels = [5, 5, 5, 5]
  expect(() => fsqEncode(z, { levels })).toThrow(/fsqEncode.*row 6 has no code: it holds a NaN at element 2/)
  expect(() => lfqEncode(z, { dim: 4 })).toThrow(VqValueError)
  await expect(fsqEncodeAsync(z, { levels })).rejects.toThrow(VqValueError)
  expect(() => fsqEncode(z.subarray(0, 7), { levels })).toThrow(VqShapeError)
  expect(() => lfqEncode(z, { dim: 32 })).toThrow(/at most 31 bits.*numCodebooks/)
  for (const wrong of [[], [1], [2.5], [65537], [65536, 65536], undefined as never, 'x' as never])
    expect(() => fsqEncode(z, { levels: wrong })).toThrow(VqConfigError)
  expect(() => fsqEncode(z, { levels, bound: 'round' as never })).toThrow(VqConfigError)
  expect(() => fsqEncode(z, undefined as never)).toThrow(VqConfigError)
  expect(() => fsqEncode([1, 2] as never, { levels: [2, 2] })).toThrow(VqConfigError)
  for (const bad of [-1, 625])
    expect(() => fsqDecode(Int32Array.of(0, bad), { levels })).toThrow(new RegExp(`${bad} at place 1`))
  expect(() => lfqDecode(Int32Array.of(16), { dim: 4 })).toThrow(VqValueError)
  expect(() => lfqDecode(Int32Array.of(1), { dim: 4, scale: 0 })).toThrow(VqConfigError)
})
