import { Random, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { type SsimOptions, ssim, ssimOfImages } from '@vq/models/evaluate'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { numbers, stored } from './evaluate-fixture.js'

const shape = stored('images.a').shape as [number, number, number, number]
const [a, b] = [stored('images.a').data as Float32Array, stored('images.b').data as Float32Array]

describe('structural similarity', () => {
  const settings: Record<string, Omit<SsimOptions, 'shape'>> = {
    default: {},
    window11: { windowSize: 11 },
    population: { useSampleCovariance: false },
    gaussian: { gaussianWeights: true },
    paper: { gaussianWeights: true, useSampleCovariance: false, sigma: 1.5 },
    sigma: { gaussianWeights: true, sigma: 0.8 },
    truncate: { gaussianWeights: true, useSampleCovariance: false, sigma: 1.2, truncate: 2 },
    constants: { K1: 0.02, K2: 0.05 },
  }
  test.each(Object.keys(settings))("is scikit-image's (truncate: scipy's) with %s settings", name => {
    const expected = numbers(`ssim.${name}`)
    const values = ssimOfImages(a, b, { shape, ...settings[name] })
    expect(values.length).toBe(2)
    for (const [i, value] of expected.entries()) expect(Math.abs(values[i]! - value)).toBeLessThan(1e-9)
    expect(ssim(a, b, { shape, ...settings[name] })).toBeCloseTo((expected[0]! + expected[1]!) / 2, 9)
  })

  test('of bytes takes a data range of 255', () => {
    const bytes = (of: Float32Array): number[] => Array.from(of, v => v * 255)
    const values = ssimOfImages(bytes(a), bytes(b), { shape, dataRange: 255 })
    for (const [i, value] of numbers('ssim.bytes').entries())
      expect(Math.abs(values[i]! - value)).toBeLessThan(1e-9)
  })

  test('is 1 for equal images, symmetric, and at most 1 in size', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.boolean(), (seed, gaussianWeights) => {
        const random = new Random(seed)
        const image = (): Float64Array => Float64Array.from({ length: 12 * 13 * 2 }, () => random.uniform())
        const [x, y] = [image(), image()]
        const options = { shape: [1, 12, 13, 2] as const, gaussianWeights }
        expect(ssim(x, x, options)).toBeCloseTo(1, 12)
        expect(ssim(x, y, options)).toBeCloseTo(ssim(y, x, options), 12)
        expect(Math.abs(ssim(x, y, options))).toBeLessThanOrEqual(1)
      }),
      { numRuns: 20 },
    )
  })

  test('of two flat images is the comparison of their light alone', () => {
    const flat = (v: number): Float64Array => new Float64Array(64).fill(v)
    const c1 = 0.01 ** 2
    const expected = (2 * 0.2 * 0.6 + c1) / (0.04 + 0.36 + c1)
    expect(ssim(flat(0.2), flat(0.6), { shape: [1, 8, 8, 1] })).toBeCloseTo(expected, 10)
    expect(ssim(flat(0), flat(0), { shape: [1, 8, 8, 1], K1: 0, K2: 0 })).toBe(1)
  })

  test('refuses shapes, windows and numbers that do not fit', () => {
    expect(() => ssim(a, b.subarray(1), { shape })).toThrow(VqShapeError)
    expect(() => ssim(a, b, { shape: [1, 2] as never })).toThrow(/\[N, H, W, C\]/)
    expect(() => ssim(a, b, { shape, windowSize: 8 })).toThrow(/odd window/)
    expect(() => ssim(a, b, { shape, windowSize: 21 })).toThrow(/shorter side is 19/)
    expect(() => ssim(a, b, { shape, gaussianWeights: true, sigma: 5 })).toThrow(VqShapeError)
    expect(() => ssim(a, b, { shape, dataRange: 0 })).toThrow(VqConfigError)
    const broken = a.map((v, i) => (i === a.length - 1 ? Number.NaN : v))
    expect(() => ssim(broken, b, { shape })).toThrow(VqValueError)
    expect(() => ssim(broken, b, { shape })).toThrow(/row 1/)
  })
})
