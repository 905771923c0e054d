import {
  kmeansSync,
  native,
  nearest,
  nearestAsync,
  residualEncode,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { draw, squaredDistance } from './draw.js'

afterEach(() => native().setIsa('auto'))

const metrics = ['l2', 'cosine', 'dot'] as const

test('every instruction set, thread count and split of the batch gives the same bits', () => {
  const [n, k, dim] = [777, 83, 37]
  const x = draw(n * dim, 1)
  const codes = draw(k * dim, 2)
  for (const metric of metrics) {
    native().setIsa('scalar')
    const want = nearest(x, codes, { dim, metric, threads: 1 })
    for (const isa of native().isaList()) {
      native().setIsa(isa)
      for (const threads of [1, 2, 5]) expect(nearest(x, codes, { dim, metric, threads })).toEqual(want)
      for (const cut of [1, 7, 240, 776]) {
        const head = nearest(x.subarray(0, cut * dim), codes, { dim, metric })
        const tail = nearest(x.subarray(cut * dim), codes, { dim, metric })
        expect([...head.indices, ...tail.indices]).toEqual([...want.indices])
        expect([...head.distances, ...tail.distances]).toEqual([...want.distances])
      }
    }
  }
})

test('the machine offers the scalar reference and at least one vector instruction set here', () => {
  expect(native().isaList()[0]).toBe('scalar')
  expect(native().isaList().length).toBeGreaterThan(
    process.arch === 'x64' || process.arch === 'arm64' ? 1 : 0,
  )
  expect(() => native().setIsa('abacus')).toThrow('no instruction set')
})

test('the chosen code is the float64 best within float32 rounding, at any shape', () => {
  const shape = fc.tuple(
    fc.integer({ min: 0, max: 60 }),
    fc.integer({ min: 1, max: 140 }),
    fc.integer({ min: 1, max: 70 }),
  )
  fc.assert(
    fc.property(shape, fc.integer({ min: 1, max: 1e6 }), ([n, k, dim], seed) => {
      const x = draw(n * dim, seed)
      const codes = draw(k * dim, seed + 1)
      const { indices, distances } = nearest(x, codes, { dim })
      expect(indices).toHaveLength(n)
      for (let i = 0; i < n; i++) {
        const all = Array.from({ length: k }, (_, j) => squaredDistance(x, i, codes, j, dim))
        const best = Math.min(...all)
        // b_k and the sum have dim terms each: dim · 2^-24 relative to the norms involved, with room.
        const bound =
          4 * (dim + 2) * 2 ** -24 * (best + 4 * squaredDistance(x, i, new Float32Array(dim), 0, dim) + 1)
        expect(all[indices[i]] - best).toBeLessThanOrEqual(bound)
        expect(Math.abs(distances[i] - all[indices[i]])).toBeLessThanOrEqual(bound)
      }
    }),
    { numRuns: 30, seed: 1 },
  )
})

test('cosine and dot agree with float64', () => {
  const [n, k, dim] = [50, 30, 12]
  const x = draw(n * dim, 3)
  const codes = draw(k * dim, 4)
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number): number => {
    let s = 0
    for (let d = 0; d < dim; d++) s += a[i * dim + d] * b[j * dim + d]
    return s
  }
  const byDot = nearest(x, codes, { dim, metric: 'dot' })
  const byAngle = nearest(x, codes, { dim, metric: 'cosine' })
  for (let i = 0; i < n; i++) {
    const products = Array.from({ length: k }, (_, j) => dot(x, i, codes, j))
    expect(byDot.distances[i]).toBeCloseTo(Math.max(...products), 4)
    expect(products[byDot.indices[i]]).toBeCloseTo(Math.max(...products), 4)
    const cosines = products.map((p, j) => p / Math.sqrt(dot(x, i, x, i) * dot(codes, j, codes, j)))
    expect(byAngle.distances[i]).toBeCloseTo(1 - Math.max(...cosines), 5)
    expect(cosines[byAngle.indices[i]]).toBeCloseTo(Math.max(...cosines), 5)
  }
  // A zero row has no direction: every cosine is 0 and the lowest code wins.
  expect(nearest(new Float32Array(3), draw(6, 5), { dim: 3, metric: 'cosine' })).toEqual({
    indices: Int32Array.of(0),
    distances: Float32Array.of(1),
  })
})

test('ties go to the lowest code, among duplicates wherever they lie', () => {
  for (const isa of native().isaList()) {
    native().setIsa(isa)
    for (const k of [2, 31, 33, 200]) {
      const same = new Float32Array(k * 5).fill(0.3)
      expect([...nearest(draw(13 * 5, 6), same, { dim: 5 }).indices]).toEqual(Array(13).fill(0))
    }
    const codes = draw(100 * 3, 7)
    for (const [from, to] of [
      [20, 21],
      [20, 40],
      [3, 99],
      [15, 16],
    ])
      codes.copyWithin(to * 3, from * 3, from * 3 + 3)
    const { indices } = nearest(codes, codes, { dim: 3 })
    for (const [from, to] of [
      [20, 21],
      [20, 40],
      [3, 99],
      [15, 16],
    ])
      expect(indices[to]).toBe(from)
  }
  expect(nearest(Float32Array.of(1), Float32Array.of(2, 0), { dim: 1 })).toEqual({
    indices: Int32Array.of(0),
    distances: Float32Array.of(1),
  })
})

test('no rows, one code and one dimension work', () => {
  expect(nearest(new Float32Array(), Float32Array.of(1, 2), { dim: 2 })).toEqual({
    indices: new Int32Array(),
    distances: new Float32Array(),
  })
  expect([...nearest(draw(70, 8), Float32Array.of(0), { dim: 1 }).indices]).toEqual(Array(70).fill(0))
  expect([...nearest(Float32Array.of(-3, 0.6, 9), Float32Array.of(0, 1), { dim: 1 }).indices]).toEqual([
    0, 1, 1,
  ])
})

test('the first row with a NaN or an infinity is named, and so is such a code', () => {
  const [n, k, dim] = [600, 20, 4]
  for (const isa of native().isaList())
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      native().setIsa(isa)
      const x = draw(n * dim, 9)
      x[555 * dim] = value
      x[321 * dim + 2] = value
      const codes = draw(k * dim, 10)
      const held = Number.isNaN(value) ? 'a NaN' : 'an infinity'
      for (const threads of [1, 2]) {
        const row = new RegExp(`row 321 has no nearest code: it holds ${held} at element 2`)
        expect(() => nearest(x, codes, { dim, threads })).toThrow(row)
        expect(() => residualEncode(x, [codes], { dim, threads, beam: 2 })).toThrow(row)
        expect(() => kmeansSync(x, { dim, k: 3, threads })).toThrow(`row 321 holds ${held} at element 2`)
      }
      codes[7 * dim + 1] = value
      expect(() => nearest(draw(dim, 11), codes, { dim })).toThrow(VqValueError)
      expect(() => nearest(draw(dim, 11), codes, { dim })).toThrow(`code 7 holds ${held} at element 1`)
    }
})

test('finite rows whose scores overflow are an error, codes that only lose by it are not', () => {
  const huge = Float32Array.of(3e38, 3e38)
  expect(() => nearest(huge, Float32Array.of(1, 1, -1, -1, 1e20, 1e20), { dim: 2 })).toThrow(
    'overflow float32',
  )
  for (const isa of native().isaList()) {
    native().setIsa(isa)
    expect(nearest(Float32Array.of(1, 1), Float32Array.of(1e30, 1e30, 0, 0), { dim: 2 }).indices[0]).toBe(1)
  }
})

test('denormals count', () => {
  const tiny = 2 ** -149
  for (const isa of native().isaList()) {
    native().setIsa(isa)
    const { indices, distances } = nearest(
      Float32Array.of(tiny, -tiny),
      Float32Array.of(2 ** 100, -(2 ** 100)),
      {
        dim: 1,
        metric: 'dot',
      },
    )
    expect([...indices]).toEqual([0, 1])
    expect([...distances]).toEqual([2 ** -49, 2 ** -49])
  }
})

test('wrong types, options and lengths are typed errors', async () => {
  const x = draw(12, 12)
  const call = (vectors: unknown, codebook: unknown, options: unknown) => () =>
    nearest(vectors as never, codebook as never, options as never)
  for (const wrong of [
    null,
    undefined,
    3,
    'x',
    [1, 2],
    new Float64Array(4),
    new Int32Array(4),
    new DataView(new ArrayBuffer(8)),
    new ArrayBuffer(8),
  ]) {
    expect(call(wrong, x, { dim: 2 })).toThrow(VqConfigError)
    expect(call(x, wrong, { dim: 2 })).toThrow(VqConfigError)
  }
  for (const dim of [0, -1, 1.5, Number.NaN, '2', undefined, 2 ** 60])
    expect(call(x, x, { dim })).toThrow(VqConfigError)
  expect(call(x, x, undefined)).toThrow(VqConfigError)
  expect(call(x, x, { dim: 2, metric: 'manhattan' })).toThrow("one of 'l2', 'cosine', 'dot'")
  for (const threads of [0, 1.5, 2000, '2']) expect(call(x, x, { dim: 2, threads })).toThrow(VqConfigError)
  expect(call(x, x, { dim: 5 })).toThrow(VqShapeError)
  expect(call(x, new Float32Array(), { dim: 2 })).toThrow('at least one code')
  expect(call(x, x, { dim: Number.MAX_SAFE_INTEGER })).toThrow(VqShapeError)
  expect(call(new Float32Array(), x, { dim: 2 ** 40 })).toThrow(VqShapeError)
  await expect(nearestAsync(x, x, { dim: 5 })).rejects.toThrow(VqShapeError)
})

test('the addon itself refuses what does not fit', () => {
  const core = native()
  const x = draw(12, 13)
  const bad: (() => unknown)[] = [
    () => core.nearest(x, x, 5, 0, 1, false),
    () => core.nearest(x, x, 0, 0, 1, false),
    () => core.nearest(x, x, 2, 7, 1, false),
    () => core.nearest(x, new Float32Array(), 2, 0, 1, false),
    () => core.nearest(new Float64Array(4) as never, x, 2, 0, 1, false),
    () => core.residualEncode(x, [x, 'x' as never], 2, 1, false, 1, false),
    () => core.residualEncode(x, [], 2, 1, false, 1, false),
    () => core.residualEncode(x, [x], 2, 1 << 20, false, 1, false),
    () => core.emaUpdate(x, new Int32Array(5), x, x, x, 2, 0.9, 0, 1, false),
    () => core.emaUpdate(x, new Int32Array(6).fill(6), x, new Float32Array(6), x, 2, 0.9, 0, 1, false),
    () =>
      core.kmeans(
        x,
        {
          dim: 2,
          k: 7,
          iterations: 1,
          tolerance: 0,
          init: 0,
          start: null,
          seedLow: 0,
          seedHigh: 0,
          spherical: false,
          weights: null,
        },
        1,
        false,
      ),
  ]
  for (const f of bad) expect(f).toThrow()
})

test('the working memory is the packed codebook and less than a megabyte', () => {
  const [n, k, dim] = [20000, 500, 32]
  const x = draw(n * dim, 14)
  const codes = draw(k * dim, 15)
  const core = native()
  const { now } = core.scratchBytes()
  nearest(x, codes, { dim, threads: 2 })
  const { peak } = core.scratchBytes()
  const packed = Math.ceil(k / 64) * 64 * (dim + 1) * 4
  expect(peak - now).toBeGreaterThan(k * dim * 4)
  expect(peak - now).toBeLessThan(packed + 2 ** 20)
})
