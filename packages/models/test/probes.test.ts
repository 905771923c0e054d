import { Random, VqConfigError, VqMemoryError, VqShapeError, VqValueError } from '@vq/core'
import {
  bitsPerPixel,
  linearProbe,
  nearestNeighborAccuracy,
  normalizedMutualInformation,
  rateDistortion,
  residualRatePoints,
} from '@vq/models/evaluate'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { numbers, rows, stored, whole } from './evaluate-fixture.js'

const sizes = Array.from(whole('sizes'))
const labels = whole('labels')
const features = [
  { ...rows('probe.features', 0, 100), labels: labels.slice(0, 100) },
  { ...rows('probe.features', 100), labels: labels.slice(100) },
] as const
const codes = [
  { codes: whole('codes', 0, 100), levels: 3, labels: labels.slice(0, 100) },
  { codes: whole('codes', 100), levels: 3, labels: labels.slice(100) },
] as const
const level = (l: number): Int32Array => Int32Array.from(labels, (_, i) => whole('codes')[i * 3 + l]!)

describe('linear probe', () => {
  const near = (actual: Float64Array, name: string, tolerance: number): void => {
    const expected = numbers(name)
    expect(actual.length).toBe(expected.length)
    for (const [i, v] of expected.entries())
      expect(Math.abs(actual[i]! - v), `${name} ${i}`).toBeLessThan(tolerance)
  }

  test.each([1, 10])("on features is scikit-learn's with C = %i", c => {
    const found = linearProbe(...features, { penalty: 1 / c, tolerance: 1e-10 })
    expect(found.converged).toBe(true)
    near(found.weights, `probe.features.${c}.weights`, 1e-5)
    near(found.bias, `probe.features.${c}.bias`, 1e-5)
    expect(found.trainLoss).toBeCloseTo(numbers(`probe.features.${c}.loss`)[0]!, 7)
    expect([found.trainAccuracy, found.accuracy]).toEqual(numbers(`probe.features.${c}.accuracy`))
    expect([...found.classes]).toEqual([0, 1, 2, 3])
  })

  test.each([1, 10])("on codes is scikit-learn's on one-hot rows with C = %i", c => {
    const found = linearProbe(...codes, { codebookSize: sizes, penalty: 1 / c, tolerance: 1e-10 })
    near(found.weights, `probe.codes.${c}.weights`, 1e-5)
    expect(found.trainLoss).toBeCloseTo(numbers(`probe.codes.${c}.loss`)[0]!, 7)
    expect([found.trainAccuracy, found.accuracy]).toEqual(numbers(`probe.codes.${c}.accuracy`))
  })

  test('is the same each time, and stops where it is told to', () => {
    const [first, second] = [0, 1].map(() => linearProbe(...features))
    expect(first).toEqual(second)
    expect(linearProbe(...features, { maxIterations: 2 })).toMatchObject({ iterations: 2, converged: false })
  })

  test('a label that training lacks is never right', () => {
    const [train, test] = features
    const found = linearProbe(train, { ...test, labels: test.labels.map(() => 9) })
    expect(found.accuracy).toBe(0)
  })

  test('refuses what does not fit', () => {
    const [train, test] = codes
    expect(() => linearProbe(train, test, {} as never)).toThrow(/codebookSize/)
    expect(() => linearProbe(train, test, { codebookSize: 3 })).toThrow(VqValueError)
    expect(() => linearProbe(train, test, { codebookSize: [8, 5] })).toThrow(VqShapeError)
    expect(() => linearProbe(train, test, { codebookSize: 1e8 })).toThrow(VqMemoryError)
    expect(() => linearProbe(train, features[1] as never, { codebookSize: 8 })).toThrow(/both codes/)
    expect(() => linearProbe({ ...train, labels: [1] }, test, { codebookSize: 8 })).toThrow(VqShapeError)
    expect(() =>
      linearProbe({ ...train, labels: labels.slice(0, 100).fill(2) }, test, { codebookSize: 8 }),
    ).toThrow(/two different labels/)
    expect(() => linearProbe(...features, { penalty: 0 })).toThrow(VqConfigError)
    expect(() =>
      linearProbe({ ...features[0], labels: new Float64Array(100).fill(0.5) }, features[1]),
    ).toThrow(/0.5 at position 0/)
  })
})

describe('nearest neighbours', () => {
  test.each([...[1, 4, 15].entries()])(
    "case %i, k = %i: scikit-learn's on features, scipy's by Hamming distance",
    (i, k) => {
      expect(nearestNeighborAccuracy(...features, { k })).toBeCloseTo(numbers('knn.features')[i]!, 12)
      expect(nearestNeighborAccuracy(...codes, { k })).toBeCloseTo(numbers('knn.codes')[i]!, 12)
    },
  )

  test('ties go to the lower training row and the lower label', () => {
    const train = { features: [1, 1, -1, -1], dim: 1, labels: [3, 2, 2, 1] }
    const of = (label: number, k: number): number =>
      nearestNeighborAccuracy(train, { features: [0], dim: 1, labels: [label] }, { k })
    expect([of(3, 1), of(2, 2), of(2, 3), of(2, 4)]).toEqual([1, 1, 1, 1])
  })

  test('every row finds itself', () => {
    expect(nearestNeighborAccuracy(features[0], features[0])).toBe(1)
  })

  test('refuses what does not fit', () => {
    expect(() => nearestNeighborAccuracy(...codes, { k: 101 })).toThrow(VqConfigError)
    expect(() =>
      nearestNeighborAccuracy(codes[0], { ...codes[1], levels: 2, labels: new Int32Array(75) }),
    ).toThrow(VqShapeError)
    expect(() => nearestNeighborAccuracy(features[0], { ...features[1], features: [Number.NaN] })).toThrow(
      VqShapeError,
    )
  })
})

describe('normalised mutual information', () => {
  test("is scikit-learn's, for each level and for full codes", () => {
    for (let l = 0; l < 3; l++)
      expect(
        Math.abs(normalizedMutualInformation(level(l), labels) - numbers('nmi.levels')[l]!),
      ).toBeLessThan(1e-9)
    const full = normalizedMutualInformation(whole('codes'), labels, { levels: 3 })
    expect(Math.abs(full - numbers('nmi.full')[0]!)).toBeLessThan(1e-9)
  })

  test('is symmetric, between 0 and 1, and blind to names', () => {
    const list = fc.array(fc.tuple(fc.nat(5), fc.nat(3)), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(list, drawn => {
        const [a, b] = [drawn.map(p => p[0]), drawn.map(p => p[1])]
        const value = normalizedMutualInformation(a, b)
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThanOrEqual(1)
        expect(normalizedMutualInformation(b, a)).toBeCloseTo(value, 9)
        expect(
          normalizedMutualInformation(
            a.map(v => 100 - 7 * v),
            b,
          ),
        ).toBeCloseTo(value, 9)
        expect(normalizedMutualInformation(a, a)).toBeCloseTo(1, 12)
      }),
    )
  })

  test('is 0 for independent codes, and leaves masked ones out', () => {
    expect(normalizedMutualInformation([0, 0, 1, 1], [0, 1, 0, 1])).toBe(0)
    expect(normalizedMutualInformation([0, 0, -1, 1, 1, -1], [4, 4, 4, 5, 5, 5])).toBeCloseTo(1, 12)
    expect(() => normalizedMutualInformation([-1], [0])).toThrow(VqShapeError)
    expect(() => normalizedMutualInformation([1, 2], [0])).toThrow(VqShapeError)
    expect(() => normalizedMutualInformation([1.5], [0])).toThrow(VqValueError)
  })
})

describe('rate and distortion', () => {
  test('bits per pixel of several levels add up, nominal and by entropy', () => {
    const bits = bitsPerPixel({ codes: whole('codes'), levels: 3, codebookSize: sizes, pixels: 600 })
    expect(bits.fixed).toBeCloseTo(numbers('bits.fixed')[0]!, 12)
    expect(bits.entropy).toBeCloseTo(numbers('bits.entropy')[0]!, 12)
    expect(bitsPerPixel({ codes: [3, 3, -1, 0], codebookSize: 4, pixels: 3 }).fixed).toBe(2)
  })

  test('levels of residual codes cost and gain what numpy says', () => {
    const { features: vectors, dim } = rows('residual.vectors')
    const books = [0, 1, 2].map(l => rows(`residual.book${l}`).features)
    const points = residualRatePoints(vectors, whole('codes'), books, { dim })
    for (const [l, point] of points.entries()) {
      expect(point.levels).toBe(l + 1)
      expect(point.error).toBeCloseTo(numbers('residual.errors')[l]!, 12)
      expect(point.bits).toBeCloseTo(numbers('residual.bits')[l]!, 12)
      expect(point.nominal).toBeCloseTo(
        sizes.slice(0, l + 1).reduce((sum, k) => sum + Math.log2(k), 0),
        12,
      )
    }
    const masked = whole('codes')
    masked[5] = -1
    expect(() => residualRatePoints(vectors, masked, books, { dim })).toThrow(/in vector 1/)
    expect(() => residualRatePoints(vectors, masked.subarray(3), books, { dim })).toThrow(VqShapeError)
  })

  const points = (name: string): { bits: number; error: number }[] =>
    Array.from({ length: stored(name).shape[0]! }, (_, i) => ({
      bits: numbers(name)[2 * i]!,
      error: numbers(name)[2 * i + 1]!,
    }))

  test("the hull is scipy's, and the curve holds all points in order", () => {
    const { curve, hull } = rateDistortion(points('points'))
    expect(hull).toEqual(points('hull'))
    expect(curve.length).toBe(60)
    expect(curve.every((p, i) => i === 0 || p.bits >= curve[i - 1]!.bits)).toBe(true)
  })

  test('no point lies below the hull, and the hull is convex and falls', () => {
    const point = fc.record({ bits: fc.nat(12), error: fc.integer({ min: -9, max: 9 }) })
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 20 }), drawn => {
        const { hull } = rateDistortion(drawn)
        const last = hull.at(-1)!
        expect(last.error).toBe(Math.min(...drawn.map(p => p.error)))
        expect(hull[0]!.bits).toBe(Math.min(...drawn.map(p => p.bits)))
        const slopes = hull.slice(1).map((p, i) => (p.error - hull[i]!.error) / (p.bits - hull[i]!.bits))
        for (const [i, slope] of slopes.entries()) {
          expect(slope).toBeLessThan(0)
          if (i > 0) expect(slope).toBeGreaterThan(slopes[i - 1]!)
          for (const p of drawn)
            expect(p.error - hull[i]!.error - slope * (p.bits - hull[i]!.bits)).toBeGreaterThan(-1e-9)
        }
      }),
    )
  })

  test('models keep their names; points that are none are refused', () => {
    const named = [
      { name: 'large', bits: 2, error: 1 },
      { name: 'small', bits: 1, error: 3 },
    ]
    expect(rateDistortion(named).hull.map(p => p.name)).toEqual(['small', 'large'])
    expect(() => rateDistortion([])).toThrow(VqShapeError)
    expect(() => rateDistortion([{ bits: -1, error: 0 }])).toThrow(VqValueError)
  })
})

describe('larger sets', () => {
  test('a probe separates what a line separates', () => {
    const random = new Random(4)
    const drawn = (n: number) => {
      const values = Float64Array.from({ length: n * 2 }, () => random.uniform(-1, 1))
      return {
        features: values,
        dim: 2,
        labels: Int32Array.from({ length: n }, (_, i) => (values[2 * i]! > 0 ? 7 : -2)),
      }
    }
    const found = linearProbe(drawn(2000), drawn(1000), { penalty: 1e-3 })
    expect([...found.classes]).toEqual([-2, 7])
    expect(found.accuracy).toBeGreaterThan(0.99)
  })
})
