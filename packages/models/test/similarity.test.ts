import { Random, VqConfigError, VqMemoryError, VqShapeError, VqValueError } from '@vq/core'
import { type Features, knnJaccard, linearCka, pwcca, rsa } from '@vq/models/evaluate'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { numbers, rows } from './evaluate-fixture.js'

const pairs = ['a.b', 'b.a', 'a.wide', 'a.lattice', 'lattice.b']
const pair = (name: string): [Features, Features] => {
  const [p, q] = name.split('.')
  return [rows(`features.${p}`), rows(`features.${q}`)]
}
const random = (seed: number, n: number, dim: number): Features => {
  const generator = new Random(seed)
  return { features: Float64Array.from({ length: n * dim }, () => generator.normal()), dim }
}
const mapped = ({ features, dim }: Features, map: (row: number[]) => number[]): Features => {
  const out: number[] = []
  for (let i = 0; i < features.length; i += dim)
    out.push(...map(Array.from({ length: dim }, (_, d) => features[i + d]!)))
  return { features: out, dim: out.length / (features.length / dim) }
}
/** Turns the first two numbers of each row, multiplies all and moves them. */
const turned = (of: Features, angle: number, scale = 1, by = 0): Features =>
  mapped(of, ([x, y, ...rest]) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)]
    return [c * x! - s * y!, s * x! + c * y!, ...rest].map(v => scale * v + by)
  })
const reordered = ({ features, dim }: Features, order: Int32Array): Features => ({
  features: Array.from(order).flatMap(i => Array.from({ length: dim }, (_, d) => features[i * dim + d]!)),
  dim,
})

describe('oracles', () => {
  test.each(pairs)('linear CKA of %s is that of centred kernels', name => {
    expect(Math.abs(linearCka(...pair(name)) - numbers(`cka.${name}`)[0]!)).toBeLessThan(1e-12)
  })

  test.each(pairs)("RSA of %s is scipy's", name => {
    expect(Math.abs(rsa(...pair(name)) - numbers(`rsa.euclidean.${name}`)[0]!)).toBeLessThan(1e-12)
    if (name.includes('lattice')) return
    const expected = numbers(`rsa.correlation.${name}`)[0]!
    expect(Math.abs(rsa(...pair(name), { distance: 'correlation' }) - expected)).toBeLessThan(1e-12)
  })

  test.each(pairs.filter(name => !name.includes('wide')))('PWCCA of %s is that of inverse roots', name => {
    const expected = numbers(`pwcca.${name}`)[0]!
    const [a, b] = pair(name)
    expect(Math.abs(pwcca(a, b) - expected)).toBeLessThan(1e-9)
    expect(Math.abs(pwcca(b, a, { weightsOf: 'b' }) - expected)).toBeLessThan(1e-9)
  })

  test.each(pairs)('kNN-Jaccard of %s is that of a stable sort', name => {
    for (const [i, k] of [1, 5, 20].entries())
      expect(knnJaccard(...pair(name), { k })).toBeCloseTo(numbers(`jaccard.${name}`)[i]!, 12)
  })

  test("kNN-Jaccard is scikit-learn's neighbours'", () => {
    expect(knnJaccard(...pair('a.b'), { k: 5 })).toBeCloseTo(numbers('jaccard.sklearn')[0]!, 12)
  })
})

describe('properties', () => {
  const measures: [string, (a: Features, b: Features) => number][] = [
    ['linearCka', linearCka],
    ['rsa', (a, b) => rsa(a, b)],
    ['rsa by correlation', (a, b) => rsa(a, b, { distance: 'correlation' })],
    ['pwcca', (a, b) => pwcca(a, b)],
    ['knnJaccard', (a, b) => knnJaccard(a, b, { k: 4 })],
  ]
  const drawn = fc.record({
    seed: fc.nat(1000),
    n: fc.integer({ min: 16, max: 40 }),
    dim: fc.integer({ min: 3, max: 6 }),
    angle: fc.double({ min: 0, max: 6, noNaN: true }),
  })

  test.each(measures)('%s of a set with itself is 1', (_, measure) => {
    fc.assert(
      fc.property(drawn, ({ seed, n, dim }) => {
        const a = random(seed, n, dim)
        expect(measure(a, a)).toBeCloseTo(1, 9)
      }),
      { numRuns: 30 },
    )
  })

  test.each(measures)('%s does not depend on the order of the rows', (_, measure) => {
    fc.assert(
      fc.property(drawn, ({ seed, n, dim }) => {
        const [a, b] = [random(seed, n, dim), random(seed + 5000, n, 3)]
        const order = new Random(seed).permutation(n)
        expect(measure(reordered(a, order), reordered(b, order))).toBeCloseTo(measure(a, b), 9)
      }),
      { numRuns: 30 },
    )
  })

  test.each(measures.filter(([name]) => !name.includes('correlation') && name !== 'pwcca'))(
    '%s does not change when one set is turned, scaled as a whole and moved',
    (_, measure) => {
      fc.assert(
        fc.property(drawn, ({ seed, n, dim, angle }) => {
          const [a, b] = [random(seed, n, dim), random(seed + 5000, n, 4)]
          expect(measure(turned(a, angle, 3, 7), b)).toBeCloseTo(measure(a, b), 6)
          expect(measure(b, turned(a, angle, 3, 7))).toBeCloseTo(measure(b, a), 6)
        }),
        { numRuns: 30 },
      )
    },
  )

  test('PWCCA does not change with any turn of the second set, nor with the scale and place of the first', () => {
    fc.assert(
      fc.property(drawn, ({ seed, dim, angle }) => {
        const [a, b] = [random(seed, 40, dim), random(seed + 5000, 40, 4)]
        expect(pwcca(a, turned(b, angle, 3, 7))).toBeCloseTo(pwcca(a, b), 7)
        expect(pwcca(turned(a, 0, 3, 7), b)).toBeCloseTo(pwcca(a, b), 7)
      }),
      { numRuns: 30 },
    )
  })

  test('PWCCA is 1 for any invertible linear map, and does not count columns that depend on others', () => {
    const a = random(3, 50, 4)
    const b = mapped(a, ([p, q, r, s]) => [p! + 2 * q!, q! - r!, 5 * r! + s!, p! - s!, p! + q!, 1])
    expect(pwcca(a, b)).toBeCloseTo(1, 9)
    expect(linearCka(a, b)).toBeLessThan(0.99)
  })

  test('CKA of one column with another is their squared correlation', () => {
    const column = (...features: number[]): Features => ({ features, dim: 1 })
    // Centred: (−1, 0, 1) and (−4/3, −1/3, 5/3): r² = 9 / (2·(42/9)).
    expect(linearCka(column(1, 2, 3), column(0, 1, 3))).toBeCloseTo(9 / (2 * (42 / 9)), 12)
    expect(pwcca(column(1, 2, 3), column(0, 1, 3))).toBeCloseTo(3 / Math.sqrt(2 * (42 / 9)), 12)
  })

  test('orthogonal columns have no similarity', () => {
    const [a, b] = [
      [1, 1, -1, -1],
      [1, -1, 1, -1],
    ].map(features => ({ features, dim: 1 }))
    expect(linearCka(a!, b!)).toBe(0)
    expect(pwcca(a!, b!)).toBe(0)
  })
})

describe('bad input', () => {
  const a = random(1, 10, 3)

  test('rows that do not pair, or are too few', () => {
    for (const measure of [linearCka, rsa, pwcca, knnJaccard]) {
      expect(() => measure(a, random(1, 9, 3))).toThrow(VqShapeError)
      expect(() => measure({ features: [1, 2], dim: 2 }, { features: [1], dim: 1 })).toThrow(VqShapeError)
      expect(() => measure({ ...a, dim: 0 }, a)).toThrow(VqConfigError)
      expect(() => measure(undefined as never, a)).toThrow(VqConfigError)
      expect(() => measure(a, { dim: 3 } as never)).toThrow(/no numbers/)
      expect(() => measure({ ...a, dim: 4 }, a)).toThrow(/rows of 4 numbers/)
    }
  })

  test('numbers that are not finite, or too large to be squared', () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, 1e200]) {
      const features = Float64Array.from(a.features)
      features[7] = wrong
      for (const measure of [linearCka, rsa, pwcca, knnJaccard])
        expect(() => measure(a, { features, dim: 3 })).toThrow(/in row 2/)
    }
  })

  test('sets without any difference', () => {
    const same = { features: new Float64Array(30).fill(2), dim: 3 }
    for (const measure of [linearCka, rsa, pwcca]) expect(() => measure(a, same)).toThrow(VqValueError)
    expect(() => rsa(a, same, { distance: 'correlation' })).toThrow(/equal numbers in row 0/)
  })

  test('sizes beyond what is computed', () => {
    const many = (n: number): Features => ({ features: new Float64Array(n), dim: 1 })
    expect(() => rsa(many(10_001), many(10_001))).toThrow(VqMemoryError)
    expect(() => knnJaccard(many(65_537), many(65_537))).toThrow(VqMemoryError)
    expect(() => pwcca({ features: new Float64Array(2049 ** 2), dim: 2049 }, many(2049))).toThrow(
      VqMemoryError,
    )
  })

  test('too few rows for canonical correlations to mean anything', () => {
    expect(() => pwcca(random(1, 9, 5), random(2, 9, 4))).toThrow(VqShapeError)
    expect(pwcca(random(1, 10, 5), random(2, 10, 4))).toBeLessThan(1)
  })

  test('options out of range', () => {
    expect(() => knnJaccard(a, a, { k: 10 })).toThrow(VqConfigError)
    expect(() => rsa(a, a, { distance: 'cosine' as never })).toThrow(VqConfigError)
    expect(() => pwcca(a, a, { weightsOf: 'c' as never })).toThrow(VqConfigError)
  })
})
