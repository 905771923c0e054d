import { native, nearest, residualEncode, residualEncodeAsync, VqConfigError, VqShapeError } from '@vq/core'
import { afterEach, expect, test } from 'vitest'
import { draw, squaredDistance } from './draw.js'

afterEach(() => native().setIsa('auto'))

const [n, dim] = [400, 11]
const x = draw(n * dim, 1)
const books = [draw(40 * dim, 2), draw(33 * dim, 3, 0.6), draw(5 * dim, 4, 0.4)]
const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0)

/** The contract level by level, with the single-level function and float32 subtraction. */
function greedy(): { codes: Int32Array; quantized: Float32Array; errors: Float64Array } {
  const codes = new Int32Array(n * books.length)
  const residual = x.slice()
  const quantized = new Float32Array(n * dim)
  books.forEach((book, level) => {
    const { indices } = nearest(residual, book, { dim })
    for (let i = 0; i < n; i++) {
      codes[i * books.length + level] = indices[i]
      for (let d = 0; d < dim; d++) {
        residual[i * dim + d] -= book[indices[i] * dim + d]
        quantized[i * dim + d] += book[indices[i] * dim + d]
      }
    }
  })
  const zero = new Float32Array(dim)
  return {
    codes,
    quantized,
    errors: Float64Array.from({ length: n }, (_, i) => squaredDistance(residual, i, zero, 0, dim)),
  }
}

test('beam 1 is the greedy encoding, bit for bit', () => {
  const want = greedy()
  const got = residualEncode(x, books, { dim })
  expect(got.codes).toEqual(want.codes)
  expect(got.quantized).toEqual(want.quantized)
  for (let i = 0; i < n; i++) expect(got.errors[i]).toBeCloseTo(want.errors[i], 4)
})

test('errors of each level are those of the first levels alone; with a beam, of the chosen codes', async () => {
  const q = books.length
  const { levelErrors, errors } = residualEncode(x, books, { dim, levelErrors: true })
  expect(levelErrors).toHaveLength(n * q)
  for (let level = 0; level < q; level++) {
    const own = Float32Array.from({ length: n }, (_, i) => levelErrors![i * q + level])
    expect(own).toEqual(residualEncode(x, books.slice(0, level + 1), { dim }).errors)
  }
  expect(residualEncode(x, books, { dim })).not.toHaveProperty('levelErrors')
  const wide = await residualEncodeAsync(x, books, { dim, beam: 4, levelErrors: true })
  expect(errors.some((e, i) => e !== wide.errors[i])).toBe(true)
  const zero = new Float32Array(dim)
  const left = x.slice()
  for (let level = 0; level < q; level++)
    for (let i = 0; i < n; i++) {
      for (let d = 0; d < dim; d++) left[i * dim + d] -= books[level][wide.codes[i * q + level] * dim + d]
      const want = squaredDistance(left, i, zero, 0, dim)
      expect(wide.levelErrors![i * q + level]).toBeCloseTo(want, 4)
    }
  expect(Float32Array.from({ length: n }, (_, i) => wide.levelErrors![i * q + q - 1])).toEqual(wide.errors)
  expect(() => residualEncode(x, books, { dim, levelErrors: 1 as never })).toThrow(VqConfigError)
})

test('every instruction set, thread count and split gives the same bits, with and without a beam', () => {
  for (const beam of [1, 4]) {
    native().setIsa('scalar')
    const want = residualEncode(x, books, { dim, beam, threads: 1 })
    for (const isa of native().isaList()) {
      native().setIsa(isa)
      for (const threads of [1, 2, 3]) expect(residualEncode(x, books, { dim, beam, threads })).toEqual(want)
      const head = residualEncode(x.subarray(0, 101 * dim), books, { dim, beam })
      expect(head.codes).toEqual(want.codes.subarray(0, 101 * 3))
      expect(residualEncode(x.subarray(101 * dim), books, { dim, beam }).codes).toEqual(
        want.codes.subarray(101 * 3),
      )
    }
  }
})

test('errors and reconstructions belong to the codes', () => {
  for (const beam of [1, 3]) {
    const { codes, quantized, errors } = residualEncode(x, books, { dim, beam })
    for (let i = 0; i < n; i++) {
      const row = new Float32Array(dim)
      books.forEach((book, level) => {
        for (let d = 0; d < dim; d++) row[d] += book[codes[i * 3 + level] * dim + d]
      })
      expect(quantized.subarray(i * dim, (i + 1) * dim)).toEqual(row)
      expect(errors[i]).toBeCloseTo(squaredDistance(x, i, row, 0, dim), 4)
    }
  }
})

test('a beam that keeps every path finds the best of all combinations', () => {
  const small = books.map(book => book.subarray(0, 5 * dim))
  const { errors } = residualEncode(x, small, { dim, beam: 125 })
  for (let i = 0; i < 40; i++) {
    let best = Number.POSITIVE_INFINITY
    for (let a = 0; a < 5; a++)
      for (let b = 0; b < 5; b++)
        for (let c = 0; c < 5; c++) {
          const row = Float64Array.from(
            { length: dim },
            (_, d) => small[0][a * dim + d] + small[1][b * dim + d] + small[2][c * dim + d],
          )
          best = Math.min(best, squaredDistance(x, i, row, 0, dim))
        }
    expect(errors[i]).toBeCloseTo(best, 4)
    // No narrower beam can be better than the best of all.
    for (const beam of [1, 2, 7])
      expect(
        residualEncode(x.subarray(i * dim, (i + 1) * dim), small, { dim, beam }).errors[0],
      ).toBeGreaterThanOrEqual(best * (1 - 1e-5))
  }
})

test('wider beams lower the total error on this data', () => {
  const totals = [1, 2, 4, 8, 16].map(beam => sum(residualEncode(x, books, { dim, beam }).errors))
  for (let i = 1; i < totals.length; i++) expect(totals[i]).toBeLessThanOrEqual(totals[i - 1])
})

test('duplicate codes and duplicate paths resolve to the lowest code', () => {
  const twice = new Float32Array(4 * dim)
  twice.set(books[0].subarray(0, 2 * dim))
  twice.set(books[0].subarray(0, 2 * dim), 2 * dim)
  for (const beam of [1, 3])
    expect(Math.max(...residualEncode(x, [twice, twice], { dim, beam }).codes)).toBeLessThan(2)
})

test('a beam that has nothing to rank by is an error, not a guess', () => {
  // The scores fit float32, the squared norms of what is left do not.
  const far = Float32Array.of(0, 0, 1e25, 1e25)
  const book = Float32Array.of(0, 0, 1, 1)
  expect([...residualEncode(far, [book], { dim: 2 }).codes]).toEqual([0, 1])
  expect(() => residualEncode(far, [book], { dim: 2, beam: 2 })).toThrow('row 1 has no nearest code')
})

test('no rows work, and bad arguments are typed errors', () => {
  expect(residualEncode(new Float32Array(), books, { dim }).codes).toHaveLength(0)
  expect(() => residualEncode(x, [], { dim })).toThrow(VqConfigError)
  expect(() => residualEncode(x, books[0] as never, { dim })).toThrow(VqConfigError)
  expect(() => residualEncode(x, [new Float32Array(dim + 1)], { dim })).toThrow(VqShapeError)
  expect(() => residualEncode(x, [new Float32Array()], { dim })).toThrow(
    'codebooks[0] to hold at least one code',
  )
  for (const beam of [0, 1.5, 1025])
    expect(() => residualEncode(x, books, { dim, beam })).toThrow(VqConfigError)
})
