import { ClusterSums, kmeansSync, nearest, VqShapeError, VqValueError } from '@vq/core'
import { expect, test } from 'vitest'
import { draw } from './draw.js'

const [n, k, dim] = [1000, 37, 11]
const x = draw(n * dim, 1)

test('blocks of any size give the bits of all rows at once, and sums in float64 by hand', () => {
  const centroids = draw(k * dim, 2)
  const { indices } = nearest(x, centroids, { dim })
  let first: ClusterSums | undefined
  for (const rows of [n, 1, 7, 128, 999]) {
    for (const threads of [1, 2]) {
      const sums = new ClusterSums({ k, dim, threads })
      const found: number[] = []
      for (let at = 0; at < n; at += rows)
        found.push(...sums.add(x.slice(at * dim, (at + rows) * dim), centroids))
      expect(found).toEqual(Array.from(indices))
      first ??= sums
      expect([sums.sums, sums.counts, sums.inertia]).toEqual([first.sums, first.counts, first.inertia])
    }
  }
  let inertia = 0
  const expected = new Float64Array(k * dim)
  for (let i = 0; i < n * dim; i++) {
    const at = indices[Math.floor(i / dim)] * dim + (i % dim)
    expected[at] += x[i]
    inertia += (x[i] - centroids[at]) ** 2
  }
  first!.sums.forEach((s, i) => {
    expect(s).toBeCloseTo(expected[i], 10)
  })
  expect(first!.inertia).toBeCloseTo(inertia, 8)
})

test('its steps are those of k-means, bit for bit', () => {
  const start = draw(k * dim, 3)
  const { centroids, history } = kmeansSync(x, { k, dim, init: start, iterations: 4, tolerance: 0 })
  let codes: Float32Array = start
  const sums = new ClusterSums({ k, dim })
  const seen: number[] = []
  for (let step = 0; step <= 4; step++) {
    sums.reset()
    for (let at = 0; at < n; at += 100) sums.add(x.slice(at * dim, (at + 100) * dim), codes)
    seen.push(sums.inertia)
    if (step < 4) codes = sums.means(codes)
  }
  expect(sums.counts.every(c => c > 0)).toBe(true)
  expect(seen).toEqual(history)
  expect(codes).toEqual(centroids)
})

test('bad rows are named and add nothing', () => {
  const sums = new ClusterSums({ k: 2, dim: 2 })
  expect(() => sums.add(Float32Array.of(0, 0, Number.NaN, 1), new Float32Array(4))).toThrow(VqValueError)
  expect(() => sums.add(Float32Array.of(0, 0, 1), new Float32Array(4))).toThrow(VqShapeError)
  expect(() => sums.add(Float32Array.of(0, 0), new Float32Array(2))).toThrow(VqShapeError)
  expect([...sums.counts]).toEqual([0, 0])
  expect(sums.means(Float32Array.of(1, 2, 3, 4))).toEqual(Float32Array.of(1, 2, 3, 4))
})
