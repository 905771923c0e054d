import { kmeansSync, native, nearest, VqConfigError, VqShapeError } from '@vq/core'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { draw, squaredDistance } from './draw.js'

afterEach(() => native().setIsa('auto'))

/** k blobs of spread 0.1 around well-separated centres. */
function blobs(n: number, k: number, dim: number, seed: number): Float32Array {
  const centres = draw(k * dim, seed, 5)
  const noise = draw(n * dim, seed + 1, 0.1)
  return noise.map((v, i) => v + centres[(Math.floor(i / dim) % k) * dim + (i % dim)])
}

function inertiaOf(x: Float32Array, centroids: Float32Array, assignments: Int32Array, dim: number): number {
  let total = 0
  for (let i = 0; i < assignments.length; i++) total += squaredDistance(x, i, centroids, assignments[i], dim)
  return total
}

test('one Lloyd step from given centroids agrees with float64', () => {
  const [n, k, dim] = [500, 6, 9]
  const x = draw(n * dim, 1)
  const init = draw(k * dim, 2)
  const first = nearest(x, init, { dim }).indices
  const want = new Float64Array(k * dim)
  const counts = new Float64Array(k)
  for (let i = 0; i < n; i++) {
    counts[first[i]]++
    for (let d = 0; d < dim; d++) want[first[i] * dim + d] += x[i * dim + d]
  }
  const { centroids, history } = kmeansSync(x, { k, dim, init, iterations: 1, tolerance: 0 })
  for (let i = 0; i < k * dim; i++) expect(centroids[i]).toBeCloseTo(want[i] / counts[Math.floor(i / dim)], 5)
  expect(history).toHaveLength(2)
  expect(history[0]).toBeCloseTo(inertiaOf(x, init, first, dim), 6)
})

test('inertia, assignments and centroids belong together, and the history never rises', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom('random' as const, 'k-means++' as const),
      (n, dim, wanted, init) => {
        const k = Math.min(n, wanted)
        const x = draw(n * dim, n + 31 * dim)
        const r = kmeansSync(x, { k, dim, init, seed: wanted, tolerance: 0, iterations: 8 })
        expect(r.assignments).toEqual(nearest(x, r.centroids, { dim }).indices)
        expect(Math.abs(r.inertia - inertiaOf(x, r.centroids, r.assignments, dim))).toBeLessThanOrEqual(
          1e-9 * (r.inertia + 1),
        )
        expect(r.history.at(-1)).toBe(r.inertia)
        for (let i = 1; i < r.history.length; i++)
          expect(r.history[i]).toBeLessThanOrEqual(r.history[i - 1] * (1 + 1e-6) + 1e-9)
      },
    ),
    { numRuns: 30, seed: 2 },
  )
})

test('a seed fixes every bit, on every instruction set and thread count; another seed draws anew', () => {
  const [k, dim] = [12, 10]
  const x = draw(2000 * dim, 3)
  for (const init of ['random', 'k-means++'] as const) {
    native().setIsa('scalar')
    const want = kmeansSync(x, { k, dim, init, seed: 2 ** 40 + 5, threads: 1, iterations: 5 })
    for (const isa of native().isaList()) {
      native().setIsa(isa)
      for (const threads of [1, 2, 3])
        expect(kmeansSync(x, { k, dim, init, seed: 2 ** 40 + 5, threads, iterations: 5 })).toEqual(want)
    }
    // The high half of the seed counts too.
    expect(kmeansSync(x, { k, dim, init, seed: 5, iterations: 0 }).centroids).not.toEqual(
      kmeansSync(x, { k, dim, init, seed: 2 ** 40 + 5, iterations: 0 }).centroids,
    )
  }
})

test('adding centroids to a converged solution never hurts', () => {
  const dim = 5
  const x = draw(400 * dim, 4)
  let centroids = kmeansSync(x, { k: 1, dim, tolerance: 0, iterations: 100 }).centroids
  let before = Number.POSITIVE_INFINITY
  for (let k = 2; k <= 24; k++) {
    const init = Float32Array.from([...centroids, ...x.subarray(k * dim, (k + 1) * dim)])
    const r = kmeansSync(x, { k, dim, init, tolerance: 0, iterations: 100 })
    expect(r.inertia).toBeLessThanOrEqual(before)
    before = r.inertia
    centroids = r.centroids
  }
})

test('as many centroids as rows leave no inertia, with duplicates too', () => {
  const dim = 7
  const x = draw(50 * dim, 5)
  const doubled = Float32Array.from([...x.subarray(0, 25 * dim), ...x.subarray(0, 25 * dim)])
  for (const init of ['random', 'k-means++'] as const) {
    expect(kmeansSync(x, { k: 50, dim, init }).inertia).toBe(0)
    expect(kmeansSync(doubled, { k: 50, dim, init, tolerance: 0 }).inertia).toBe(0)
    expect(kmeansSync(doubled, { k: 25, dim, init: 'k-means++', tolerance: 0 }).inertia).toBe(0)
  }
  const same = new Float32Array(30 * dim).fill(0.7)
  const r = kmeansSync(same, { k: 4, dim, tolerance: 0 })
  expect([r.inertia, r.converged, Math.max(...r.assignments)]).toEqual([0, true, 0])
})

test('k-means++ finds well-separated blobs', () => {
  const [n, k, dim] = [1200, 8, 6]
  const { assignments, inertia } = kmeansSync(blobs(n, k, dim, 6), { k, dim, seed: 1 })
  for (let i = 0; i < n; i++) expect(assignments[i]).toBe(assignments[i % k])
  expect(new Set(assignments.subarray(0, k)).size).toBe(k)
  expect(inertia / (n * dim * 0.01)).toBeCloseTo(1, 1)
})

test('empty clusters are filled by splitting the largest', () => {
  const [n, k, dim] = [900, 9, 4]
  const x = blobs(n, k, dim, 8)
  const far = new Float32Array(k * dim).fill(1e4) // all but the first start where no row is
  far.set(x.subarray(0, dim))
  const r = kmeansSync(x, { k, dim, init: far, iterations: 100, tolerance: 0 })
  expect(new Set(r.assignments).size).toBe(k)
  for (let i = 1; i < r.history.length; i++)
    expect(r.history[i]).toBeLessThanOrEqual(r.history[i - 1] * (1 + 1e-6))
})

test('it stops early when nothing moves, and by the tolerance', () => {
  const [k, dim] = [4, 3]
  const x = blobs(400, k, dim, 9)
  const still = kmeansSync(x, { k, dim, iterations: 500, tolerance: 0 })
  expect(still.converged).toBe(true)
  expect(still.history.length).toBeLessThan(20)
  const noise = draw(3000 * 8, 10)
  const steps = [0, 1e-2, 1].map(
    tolerance => kmeansSync(noise, { k: 30, dim: 8, iterations: 200, tolerance }).history.length,
  )
  expect(steps[1]).toBeLessThan(steps[0])
  expect(steps[2]).toBeLessThan(steps[1])
  expect(kmeansSync(noise, { k: 30, dim: 8, iterations: 3, tolerance: 0 })).toMatchObject({
    converged: false,
  })
  expect(kmeansSync(noise, { k: 30, dim: 8, iterations: 0 }).history).toHaveLength(1)
})

test('whole weights are repetitions, and rows of weight 0 do not count', () => {
  const dim = 4
  const x = draw(60 * dim, 11)
  const weights = Float32Array.from({ length: 60 }, (_, i) => i % 3)
  const repeated = Float32Array.from({ length: 60 }, (_, i) => i).reduce<number[]>((all, i) => {
    for (let c = 0; c < weights[i]; c++) all.push(...x.subarray(i * dim, (i + 1) * dim))
    return all
  }, [])
  const init = x.slice(dim, 6 * dim)
  const a = kmeansSync(x, { k: 5, dim, init, weights, tolerance: 0 })
  const b = kmeansSync(Float32Array.from(repeated), { k: 5, dim, init, tolerance: 0 })
  expect(a.inertia).toBeCloseTo(b.inertia, 8)
  for (let i = 0; i < 5 * dim; i++) expect(a.centroids[i]).toBeCloseTo(b.centroids[i], 5)
  for (const init of ['random', 'k-means++'] as const) {
    const only = Float32Array.from({ length: 60 }, (_, i) => (i === 7 || i === 9 ? 1 : 0))
    const r = kmeansSync(x, { k: 2, dim, init, weights: only })
    expect(r.inertia).toBe(0)
    expect(r.assignments[7]).not.toBe(r.assignments[9])
    expect(() => kmeansSync(x, { k: 3, dim, init, weights: only })).toThrow(
      'only 2 rows can become centroids',
    )
  }
})

test('spherical centroids have norm 1 and maximise the cosine', () => {
  const dim = 6
  const x = draw(500 * dim, 12, 3)
  const r = kmeansSync(x, { k: 5, dim, spherical: true, tolerance: 0, iterations: 60 })
  const zero = new Float32Array(dim)
  for (let k = 0; k < 5; k++) expect(squaredDistance(r.centroids, k, zero, 0, dim)).toBeCloseTo(1, 5)
  expect(r.assignments).toEqual(nearest(x, r.centroids, { dim, metric: 'cosine' }).indices)
  const { distances } = nearest(x, r.centroids, { dim, metric: 'cosine' })
  expect(r.inertia).toBeCloseTo(2 * distances.reduce((a, b) => a + b, 0), 3)
})

test('bad options are typed errors', () => {
  const x = draw(20, 13)
  const bad = (options: object) => () => kmeansSync(x, { k: 2, dim: 2, ...options } as never)
  for (const options of [
    { k: 0 },
    { k: 11 },
    { k: 1.5 },
    { iterations: -1 },
    { tolerance: -1 },
    { tolerance: Number.NaN },
    { seed: -1 },
    { seed: 0.5 },
    { init: 'best' },
    { init: [1] },
    { spherical: 1 },
    { spherical: 'false' },
    { spherical: Object.create(null) },
    { weights: [1] },
    { dim: 0 },
  ])
    expect(bad(options)).toThrow(VqConfigError)
  for (const options of [{ dim: 3 }, { init: new Float32Array(3) }, { weights: new Float32Array(9) }])
    expect(bad(options)).toThrow(VqShapeError)
  expect(bad({ weights: new Float32Array(10).fill(-1) })).toThrow('weight 0 is -1')
  expect(bad({ weights: new Float32Array(10).fill(Number.NaN) })).toThrow('weights must be finite')
})

test('leading elements first: k-means of each width from the clusters of the one before', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 400 }),
      fc.integer({ min: 1, max: 20 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 11 }), { maxLength: 4 }),
      fc.boolean(),
      (n, k, widths, weighted) => {
        const dim = 12
        const leading = widths.sort((a, b) => a - b)
        const x = draw(n * dim, n + k)
        const weights = weighted ? draw(n, k).map(Math.abs) : undefined
        const own = { k, iterations: 3, tolerance: 1e-3, ...(weights && { weights }) }
        let before: Int32Array | undefined
        const emptied: boolean[] = []
        for (const width of [...leading, dim]) {
          const part = Float32Array.from(
            { length: n * width },
            (_, i) => x[Math.floor(i / width) * dim + (i % width)],
          )
          const init = before && meansOf(part, width, k, before, weights)
          const found = kmeansSync(part, {
            ...own,
            dim: width,
            seed: 9,
            ...(init?.means && { init: init.means }),
          })
          emptied.push(init?.empty ?? false)
          before = found.assignments
        }
        // Rows near enough to the k-means++ of all rows that the start was not drawn from some of them.
        fc.pre(n < 32 * k && !emptied.includes(true))
        expect(kmeansSync(x, { ...own, dim, leading, seed: 9 }).assignments).toEqual(before)
      },
    ),
    { numRuns: 60, seed: 5 },
  )
})

function meansOf(
  x: Float32Array,
  dim: number,
  k: number,
  codes: Int32Array,
  weights?: Float32Array,
): { means: Float32Array; empty: boolean } {
  const sums = new Float64Array(k * dim)
  const counts = new Float64Array(k)
  for (let i = 0; i < codes.length; i++) {
    const w = weights?.[i] ?? 1
    counts[codes[i]] += w
    for (let d = 0; d < dim; d++) sums[codes[i] * dim + d] += w * x[i * dim + d]
  }
  return {
    means: Float32Array.from(sums, (s, i) => s / counts[Math.floor(i / dim)]),
    empty: counts.includes(0),
  }
}

test('leading elements: the same bits on every instruction set and thread count; more rows than a start is drawn from', () => {
  const [n, dim, k] = [3000, 10, 7]
  const x = draw(n * dim, 3)
  for (let i = 0; i < n * dim; i++) x[i] *= 2 ** -(i % dim)
  const options = { k, dim, leading: [1, 2, 5], iterations: 5, seed: 1 }
  const want = kmeansSync(x, options)
  for (const isa of native().isaList())
    for (const threads of [1, 2, 5]) {
      native().setIsa(isa)
      expect(kmeansSync(x, { ...options, threads })).toEqual(want)
    }
  expect(want.inertia).toBeCloseTo(inertiaOf(x, want.centroids, want.assignments, dim), 6)
  expect(want.assignments).toEqual(nearest(x, want.centroids, { dim }).indices)
})

test('leading elements that are none, or that go with nothing else, are refused', () => {
  const x = draw(200, 1)
  for (const leading of [[0], [2, 2], [3, 1], [10], [1.5], 3])
    expect(() => kmeansSync(x, { k: 2, dim: 10, leading: leading as number[] })).toThrow(VqConfigError)
  expect(() => kmeansSync(x, { k: 2, dim: 10, leading: [2], spherical: true })).toThrow(VqConfigError)
  expect(() => kmeansSync(x, { k: 2, dim: 10, leading: [2], init: x.slice(0, 20) })).toThrow(VqConfigError)
})
