import { covarianceOf, nearestOrthogonal, Random, symmetricEigen, VqShapeError } from '@vq/core'
import { expect, test } from 'vitest'

const random = new Random(1)
const normals = (n: number): Float64Array => Float64Array.from({ length: n }, () => random.normal())
const product = (a: Float64Array, b: Float64Array, n: number, transposed = false): Float64Array =>
  Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n]
    let sum = 0
    for (let k = 0; k < n; k++) sum += a[i * n + k] * (transposed ? b[j * n + k] : b[k * n + j])
    return sum
  })
const expectClose = (a: Float64Array, b: Float64Array): void =>
  a.forEach((x, i) => {
    expect(Math.abs(x - b[i])).toBeLessThan(1e-10)
  })
const identity = (n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0))

test('eigenvectors are orthonormal and give the matrix back, values descending', () => {
  for (const n of [1, 2, 7, 40]) {
    const a = normals(n * n)
    const matrix = product(a, a, n, true)
    const { values, vectors } = symmetricEigen(matrix, n)
    expectClose(product(vectors, vectors, n, true), identity(n))
    for (let i = 1; i < n; i++) expect(values[i]).toBeLessThanOrEqual(values[i - 1])
    const scaled = vectors.map((v, at) => v * values[Math.floor(at / n)])
    const back = Float64Array.from({ length: n * n }, (_, at) => {
      let sum = 0
      for (let k = 0; k < n; k++) sum += vectors[k * n + Math.floor(at / n)] * scaled[k * n + (at % n)]
      return sum
    })
    back.forEach((x, i) => {
      expect(Math.abs(x - matrix[i])).toBeLessThan(1e-9)
    })
  }
})

test('the nearest orthogonal matrix of a turned stretch is the turn, and none has a larger trace', () => {
  const n = 6
  const turn = nearestOrthogonal(normals(n * n), n)
  expectClose(product(turn, turn, n, true), identity(n))
  const a = normals(n * n)
  const stretch = product(a, a, n, true).map((x, i) => x + (i % (n + 1) === 0 ? 1 : 0))
  expectClose(nearestOrthogonal(product(turn, stretch, n), n), turn)
  const matrix = normals(n * n)
  const best = nearestOrthogonal(matrix, n)
  const trace = (r: Float64Array): number => r.reduce((s, x, i) => s + x * matrix[i], 0)
  for (let i = 0; i < 20; i++) expect(trace(nearestOrthogonal(normals(n * n), n))).toBeLessThan(trace(best))
})

test('covariance by hand', () => {
  const { mean, covariance } = covarianceOf(Float32Array.of(1, 2, 3, 6, 5, 4), 2)
  expect([...mean]).toEqual([3, 4])
  expect([...covariance]).toEqual([4, 2, 2, 4])
  expect([...covarianceOf(Float32Array.of(1, 2), 2).covariance]).toEqual([0, 0, 0, 0])
  expect(() => covarianceOf(new Float32Array(3), 2)).toThrow(VqShapeError)
  expect(() => symmetricEigen(new Float64Array(3), 2)).toThrow(VqShapeError)
  expect(() => nearestOrthogonal(new Float64Array(5), 2)).toThrow(VqShapeError)
})
