import { VqShapeError, VqValueError } from '@vq/core'
import {
  bitsPerPixel,
  codeCounts,
  entropy,
  mse,
  perplexity,
  psnr,
  SquaredError,
  usage,
} from '@vq/models/evaluate'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

describe('reconstruction error', () => {
  test('an error of 0.1 everywhere is an MSE of 0.01 and a PSNR of 20 dB', () => {
    const a = Float64Array.from({ length: 300 }, (_, i) => i / 1000)
    const b = a.map(v => v + 0.1)
    expect(mse(b, a)).toBeCloseTo(0.01, 12)
    expect(psnr(b, a)).toBeCloseTo(20, 10)
    expect(psnr(b, a, 255)).toBeCloseTo(20 + 20 * Math.log10(255), 10)
  })

  test('equal arrays have infinite PSNR', () => {
    expect(psnr([0.5, 0.25], [0.5, 0.25])).toBe(Number.POSITIVE_INFINITY)
  })

  test('batches of any size give the figure of the whole set', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
          {
            minLength: 2,
            maxLength: 40,
          },
        ),
        fc.integer({ min: 1, max: 39 }),
        (pairs, cut) => {
          const a = pairs.map(p => p[0])
          const b = pairs.map(p => p[1])
          const at = Math.min(cut, a.length - 1)
          const sum = new SquaredError().add(a.slice(0, at), b.slice(0, at)).add(a.slice(at), b.slice(at))
          expect(sum.mse).toBeCloseTo(mse(a, b), 12)
          expect(sum.count).toBe(a.length)
        },
      ),
    )
  })

  test('unequal lengths are an error that names both', () => {
    expect(() => mse([1, 2], [1])).toThrow(VqShapeError)
    expect(() => psnr([], [])).toThrow(/lengths 0 and 0/)
  })
})

describe('code statistics', () => {
  test('uniform use of all K codes has perplexity K, one code alone has 1', () => {
    expect(perplexity(new Float64Array(256).fill(7))).toBeCloseTo(256, 9)
    expect(perplexity([0, 12, 0])).toBe(1)
    expect(entropy([1, 1, 2])).toBeCloseTo(1.5, 12)
  })

  test('counts leave out masked positions and add up to the rest', () => {
    const counts = codeCounts(Int32Array.of(3, 0, -1, 3, 3, -1), 4)
    expect([...counts]).toEqual([1, 0, 0, 3])
    expect(usage(counts)).toBe(0.5)
  })

  test('a code outside the codebook is named with its position', () => {
    expect(() => codeCounts([0, 4], 4)).toThrow(VqValueError)
    expect(() => codeCounts([0, 4], 4)).toThrow(/4 in vector 1/)
  })

  test('64 codes of 8 bits on 32×32 pixels are half a bit per pixel', () => {
    expect(bitsPerPixel({ numEmbeddings: 256, tokens: 64, pixels: 1024 })).toEqual({ fixed: 0.5 })
    const skewed = bitsPerPixel({ numEmbeddings: 4, tokens: 64, pixels: 1024, counts: [2, 1, 1, 0] })
    expect(skewed.fixed).toBe(0.125)
    expect(skewed.entropy).toBeCloseTo((1.5 * 64) / 1024, 12)
  })

  test('perplexity lies between 1 and the number of used codes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 64 }), counts => {
        fc.pre(counts.some(c => c > 0))
        const p = perplexity(counts)
        expect(p).toBeGreaterThanOrEqual(1 - 1e-12)
        expect(p).toBeLessThanOrEqual(usage(counts) * counts.length + 1e-9)
      }),
    )
  })
})
