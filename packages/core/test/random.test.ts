import { philox4x32, Random, random } from '@vq/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const hex = (words: Iterable<number>): string =>
  [...words].map(w => w.toString(16).padStart(8, '0')).join(' ')

describe('Philox4x32-10', () => {
  // Random123's kat_vectors.
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [Array(4).fill(0xffffffff), [0xffffffff, 0xffffffff], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('gives the known answers of Random123', (counter, key, answer) => {
    const out = new Uint32Array(4)
    philox4x32(counter, key, out)
    expect(hex(out)).toBe(answer)
  })
})

describe('Random', () => {
  it('uses the outputs of blocks 0, 1, … in order, with seed as key and stream as the counter’s upper half', () => {
    const seed = 0x12345_89abcdef
    const r = new Random(seed, 2 ** 33 + 5)
    const out = new Uint32Array(4)
    for (const block of [0, 1, 2]) {
      philox4x32([block, 0, 5, 2], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)], out)
      expect([r.bits(), r.bits(), r.bits(), r.bits()]).toEqual([...out])
    }
  })

  it('makes doubles of 53 and floats of 24 bits', () => {
    const out = new Uint32Array(4)
    philox4x32([0, 0, 0, 0], [7, 0], out)
    const [a, b, c, d] = out
    const r = new Random(7)
    expect(r.uniform()).toBe(((a >>> 5) * 2 ** 26 + (b >>> 6)) * 2 ** -53)
    expect([...r.fillUniform(new Float32Array(2))]).toEqual([(c >>> 8) * 2 ** -24, (d >>> 8) * 2 ** -24])
  })

  it('makes normals by Box and Muller, cosine first', () => {
    const u = new Random(9)
    const [u1, u2] = [u.uniform(), u.uniform()]
    const radius = Math.sqrt(-2 * Math.log(1 - u1))
    const r = new Random(9)
    expect(r.normal()).toBe(radius * Math.cos(2 * Math.PI * u2))
    expect(r.normal(1, 2)).toBe(1 + 2 * radius * Math.sin(2 * Math.PI * u2))
  })

  it('has the moments of its distributions', () => {
    const r = new Random(1)
    const n = 200_000
    const mean = (f: () => number): number => {
      let s = 0
      for (let i = 0; i < n; i++) s += f()
      return s / n
    }
    expect(mean(() => r.uniform())).toBeCloseTo(0.5, 2)
    expect(mean(() => r.normal())).toBeCloseTo(0, 1)
    expect(mean(() => r.normal() ** 2)).toBeCloseTo(1, 1)
    const counts = new Float64Array(6)
    for (let i = 0; i < 60_000; i++) counts[r.integer(6)]++
    const chi2 = counts.reduce((s, c) => s + (c - 10_000) ** 2 / 10_000, 0)
    expect(chi2).toBeLessThan(20.5) // 99.9th percentile of 5 degrees of freedom
  })

  it('draws integers below any bound', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 2 ** 53 - 1 }), (seed, bound) => {
        const x = new Random(seed).integer(bound)
        return Number.isInteger(x) && x >= 0 && x < bound
      }),
    )
  })

  it('permutes: every number once', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(200), (seed, n) => {
        const sorted = new Random(seed).permutation(n).sort()
        return sorted.every((x, i) => x === i) && sorted.length === n
      }),
    )
  })

  it('goes on from a state that went through JSON, from any point', () => {
    fc.assert(
      fc.property(fc.nat(30), fc.boolean(), (skip, odd) => {
        const r = new Random(3, 4)
        for (let i = 0; i < skip; i++) r.bits()
        if (odd) r.normal()
        const copy = new Random()
        copy.state = JSON.parse(JSON.stringify(r.state))
        for (let i = 0; i < 5; i++) if (r.normal() !== copy.normal() || r.bits() !== copy.bits()) return false
        return true
      }),
    )
  })

  it('carries the block number over 32 bits', () => {
    const r = new Random(1)
    r.state = { ...r.state, block: [0xffffffff, 0], left: [] }
    for (let i = 0; i < 4; i++) r.bits()
    expect(r.state.block).toEqual([0, 1])
  })

  it('forks independent streams and reseeds', () => {
    const r = new Random(5)
    const a = r.fork(1)
    expect(a.bits()).not.toBe(r.fork(2).bits())
    expect(r.fork(1).bits()).toBe(new Random(5, 1).bits())
    random.seed(5)
    expect(random.bits()).toBe(new Random(5).bits())
    random.seed(0)
  })

  it('refuses seeds, bounds and states that make no sense', () => {
    expect(() => new Random(-1)).toThrow(/seed to be a whole number/)
    expect(() => new Random(0).integer(0)).toThrow(/bound/)
    const r = new Random(0)
    expect(() => {
      r.state = { ...r.state, left: [1, 2, 3, 4, 5] }
    }).toThrow(/a state that a generator gave/)
  })
})
