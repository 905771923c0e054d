import { nearest, Random, tf, VqConfigError, VqMemoryError, VqShapeError, VqValueError } from '@vq/core'
import { type Bounds, codeDistances, codeRegions, type Region } from '@vq/quantizers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const unit: Bounds = { x: [0, 1], y: [0, 1] }

// The shoelace formula: positive where the corners go round against the clock.
const areaOf = ({ polygon }: Region): number =>
  polygon.reduce((sum, [x, y], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length]!
    return sum + (x * y2 - x2 * y) / 2
  }, 0)

// How far a point lies within a convex polygon: below 0 outside.
const depth = ([px, py]: [number, number], { polygon }: Region): number =>
  polygon.length === 0
    ? Number.NEGATIVE_INFINITY
    : Math.min(
        ...polygon.map(([x, y], i) => {
          const [x2, y2] = polygon[(i + 1) % polygon.length]!
          return ((x2 - x) * (py - y) - (y2 - y) * (px - x)) / (Math.hypot(x2 - x, y2 - y) || 1)
        }),
      )

const plane = fc
  .array(fc.tuple(fc.float({ min: -3, max: 3, noNaN: true }), fc.float({ min: -3, max: 3, noNaN: true })), {
    minLength: 1,
    maxLength: 12,
  })
  .map(points => Float32Array.from(points.flat()))

describe('distances between codes', () => {
  test('are those of points whose distances are known', () => {
    const codes = tf.tensor2d([
      [0, 0],
      [3, 4],
      [3, 0],
    ])
    const found = codeDistances(codes)
    expect(found.arraySync()).toEqual([
      [0, 5, 3],
      [5, 0, 4],
      [3, 4, 0],
    ])
    expect(tf.getBackend()).toBe('vq-cpu')
    tf.dispose([codes, found])
  })

  test('agree with the norm of differences in any number of dimensions', () => {
    const shape = fc.tuple(
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 0, max: 99 }),
    )
    fc.assert(
      fc.property(shape, ([k, dim, seed]) => {
        const codes = new Random(seed).fillNormal(new Float32Array(k * dim))
        tf.tidy(() => {
          const found = codeDistances(tf.tensor2d(codes, [k, dim])).arraySync()
          for (let a = 0; a < k; a++)
            for (let b = 0; b < k; b++) {
              const difference = Array.from(
                { length: dim },
                (_, d) => codes[a * dim + d]! - codes[b * dim + d]!,
              )
              expect(found[a]![b]).toBe(Math.fround(Math.hypot(...difference)) || 0)
              expect(found[a]![b]).toBe(found[b]![a])
              for (let c = 0; c < k; c++)
                expect(found[a]![b]).toBeLessThanOrEqual((found[a]![c]! + found[c]![b]!) * (1 + 1e-6))
            }
        })
      }),
      { numRuns: 50 },
    )
  })

  // ‖a‖² − 2a·b + ‖b‖² in float32 would give 0.
  test('keep the digits of near codes that are far from 0', () => {
    const step = 2 ** -13
    const found = tf.tidy(() => codeDistances(tf.tensor2d([[1000], [1000 + step]])).dataSync())
    expect(found[1]).toBe(step)
  })

  test('are refused of what is no codebook', () => {
    tf.tidy(() => {
      expect(() => codeDistances(tf.zeros([2, 3, 4]) as never)).toThrow(VqShapeError)
      expect(() => codeDistances(new Float32Array(4) as never)).toThrow(/received a Float32Array of length 4/)
      expect(() => codeDistances(tf.tensor2d([[1], [Number.NaN]]))).toThrow(VqValueError)
      expect(() => codeDistances(tf.tensor2d([[1], [Number.NaN]]))).toThrow(/NaN in code 1/)
      expect(() => codeDistances(tf.zeros([20_000, 1]))).toThrow(VqMemoryError)
    })
  })
})

describe('regions of a codebook of the plane', () => {
  test('of one code are the bounds', () => {
    expect(codeRegions(Float32Array.of(0.3, 0.9), unit)).toEqual([
      {
        code: 0,
        polygon: [
          [0, 0],
          [1, 0],
          [1, 1],
          [0, 1],
        ],
      },
    ])
  })

  test('of two codes meet half-way', () => {
    const [left, right] = codeRegions(Float32Array.of(0, 0.5, 0.5, 0.5), unit)
    expect(areaOf(left!)).toBeCloseTo(0.25, 12)
    expect(areaOf(right!)).toBeCloseTo(0.75, 12)
    expect(new Set(left!.polygon.map(String))).toEqual(new Set(['0,0', '0.25,0', '0.25,1', '0,1']))
  })

  test('of a square grid are its squares', () => {
    const n = 5
    const codes = Float32Array.from(
      { length: 2 * n * n },
      (_, i) => (i % 2 === 0 ? (i >> 1) % n : Math.floor(i / 2 / n)) + 0.5,
    )
    for (const region of codeRegions(codes, { x: [0, n], y: [0, n] })) {
      const [x, y] = [codes[2 * region.code]!, codes[2 * region.code + 1]!]
      const rounded = (v: number): number => Number(v.toFixed(9))
      const corners = region.polygon.map(([px, py]) => `${rounded(px - x)},${rounded(py - y)}`).sort()
      expect(corners).toEqual(['-0.5,-0.5', '-0.5,0.5', '0.5,-0.5', '0.5,0.5'])
    }
  })

  test('fill the bounds without overlap', () => {
    fc.assert(
      fc.property(plane, codes => {
        const regions = codeRegions(codes, { x: [-2, 4], y: [-4, 1] })
        expect(regions.map(r => r.code)).toEqual(Array.from({ length: codes.length / 2 }, (_, i) => i))
        const areas = regions.map(areaOf)
        for (const area of areas) expect(area).toBeGreaterThanOrEqual(-1e-9)
        expect(areas.reduce((a, b) => a + b, 0)).toBeCloseTo(30, 6)
      }),
    )
  })

  test('hold exactly the points whose nearest code theirs is', () => {
    const point = fc.tuple(
      fc.float({ min: -2, max: 2, noNaN: true }),
      fc.float({ min: -2, max: 2, noNaN: true }),
    )
    fc.assert(
      fc.property(plane, fc.array(point, { minLength: 1, maxLength: 20 }), (codes, points) => {
        const regions = codeRegions(codes, { x: [-2, 2], y: [-2, 2] })
        const { indices } = nearest(Float32Array.from(points.flat()), codes, { dim: 2 })
        const squared = (p: [number, number], k: number) =>
          (p[0] - codes[2 * k]!) ** 2 + (p[1] - codes[2 * k + 1]!) ** 2
        for (const [i, p] of points.entries()) {
          const own = indices[i]!
          for (const { code, polygon } of regions) {
            // Points on a border belong to either.
            if (code === own || Math.abs(squared(p, code) - squared(p, own)) < 1e-5) continue
            expect(depth(p, { code, polygon })).toBeLessThan(1e-6)
          }
          expect(Math.max(...regions.map(r => depth(p, r)))).toBeGreaterThan(-1e-5)
        }
      }),
    )
  })

  test('of copies of a code belong to the first; of codes outside of the bounds there may be none', () => {
    const [first, second, far] = codeRegions(Float32Array.of(0.5, 0.5, 0.5, 0.5, 9, 9), unit)
    expect(areaOf(first!)).toBeCloseTo(1, 12)
    expect([second!.polygon, far!.polygon]).toEqual([[], []])
  })

  test('by default leave a tenth around the codes, and 1 around one code', () => {
    const corners = (codes: number[]): number[] => {
      const all = codeRegions(Float32Array.from(codes)).flatMap(r => r.polygon)
      return [0, 1].flatMap(axis => [
        Math.min(...all.map(p => p[axis]!)),
        Math.max(...all.map(p => p[axis]!)),
      ])
    }
    const expected = [-1, 11, -2, 22]
    for (const [i, v] of corners([0, 0, 10, 20]).entries()) expect(v).toBeCloseTo(expected[i]!, 12)
    expect(corners([3, 4])).toEqual([2, 4, 3, 5])
  })

  test('are refused of what is no codebook of the plane, and of bounds that hold nothing', () => {
    for (const codes of [new Float32Array(0), new Float32Array(3), [0, 1], undefined])
      expect(() => codeRegions(codes as never)).toThrow(VqShapeError)
    expect(() => codeRegions(Float32Array.of(0, Number.POSITIVE_INFINITY))).toThrow(VqValueError)
    expect(() => codeRegions(new Float32Array(2 ** 17 + 2))).toThrow(VqConfigError)
    for (const bounds of [
      { ...unit, x: [1, 0] },
      { ...unit, y: [1, 1] },
      { ...unit, y: [0, Number.NaN] },
      { x: [0, 1] },
    ])
      expect(() => codeRegions(Float32Array.of(0, 0), bounds as never)).toThrow(
        /bounds of [xy] as \[low, high\]/,
      )
  })
})
