import { tf, VqConfigError, VqMemoryError, VqShapeError, VqValueError } from '@vq/core'
import { analyzeCodes, compressionOf, entropyOf, VectorQuantizer } from '@vq/quantizers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const biggest = 2 ** 31 - 1

// Codes [N, Q] with the sizes of their codebooks; some vectors are masked from a level on.
const codesOf = (size: fc.Arbitrary<number>) =>
  fc.array(size, { minLength: 1, maxLength: 4 }).chain(sizes =>
    fc.record({
      sizes: fc.constant(sizes),
      rows: fc.array(
        fc
          .tuple(
            fc.tuple(...sizes.map(k => fc.integer({ min: 0, max: k - 1 }))),
            fc.integer({ min: 0, max: 9 }),
          )
          .map(([row, kept]) => row.map((code, l) => (l < kept || kept > 4 ? code : -1))),
        { maxLength: 40 },
      ),
    }),
  )
const small = codesOf(fc.integer({ min: 1, max: 6 }))
// Few different codes of very many: full codes do not fit into one number.
const large = codesOf(fc.constantFrom(biggest, biggest - 1)).map(({ sizes, rows }) => ({
  sizes,
  rows: rows.map(row => row.map((code, l) => (code < 0 ? code : sizes[l]! - 1 - (code % 2)))),
}))

// log2 N − (1/N)·Σ c·log2 c, another form of −Σ p·log2 p.
const bitsOf = (counts: number[]): number => {
  const n = counts.reduce((a, b) => a + b, 0)
  return n === 0 ? 0 : Math.log2(n) - counts.reduce((sum, c) => sum + (c > 0 ? c * Math.log2(c) : 0), 0) / n
}
const tally = (things: (string | number)[]): number[] => {
  const counts = new Map<string | number, number>()
  for (const thing of things) counts.set(thing, (counts.get(thing) ?? 0) + 1)
  return [...counts.values()]
}
const analyze = ({ sizes, rows }: { sizes: number[]; rows: number[][] }) =>
  analyzeCodes(Int32Array.from(rows.flat()), { levels: sizes.length, codebookSize: sizes })

describe('statistics of codes', () => {
  test.each([
    ['all codes alike', [0, 1, 2, 3, 4, 5, 6, 7], 3, 8, 0],
    ['one code', [5, 5, 5], 0, 1, 7],
    ['halves of halves', [0, 0, 0, 0, 1, 1, 2, 3], 1.75, 2 ** 1.75, 4],
    ['no code at all', [], 0, 1, 8],
  ])('%s of 8', (_, codes, entropy, perplexity, dead) => {
    const { levels, bits, count } = analyzeCodes(Int32Array.from(codes), { codebookSize: 8 })
    const used = 8 - dead
    expect(levels[0]).toMatchObject({ entropy, perplexity, dead, used, ratio: used / 8 })
    expect(bits).toEqual({ nominal: 3, entropy, joint: entropy })
    expect(count).toBe(codes.length)
  })

  test.each([
    ['small codebooks', small],
    ['codebooks of 2^31 codes', large],
  ])('agree with a recount: %s', (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, given => {
        const { sizes, rows } = given
        const found = analyze(given)
        const kept = rows.filter(row => row[0] !== -1)
        expect(found.count).toBe(kept.length)
        for (const [l, size] of sizes.entries()) {
          const codes = kept.map(row => row[l]!).filter(code => code >= 0)
          const level = found.levels[l]!
          const chosen = [...new Set(codes)].sort((a, b) => a - b)
          expect([...level.chosen.codes]).toEqual(chosen)
          expect([...level.chosen.counts]).toEqual(chosen.map(k => codes.filter(c => c === k).length))
          if (size <= 6)
            expect([...level.counts]).toEqual(
              Array.from({ length: size }, (_, k) => codes.filter(c => c === k).length),
            )
          else expect(() => level.counts).toThrow(VqMemoryError)
          expect([level.used, level.dead]).toEqual([chosen.length, size - chosen.length])
          expect(level.ratio).toBe(chosen.length / size)
          expect(level.entropy).toBeCloseTo(bitsOf(tally(codes)), 10)
          expect(level.perplexity).toBeCloseTo(2 ** bitsOf(tally(codes)), 8)
        }
        const times = tally(kept.map(row => row.join()))
        const colliding = times.filter(n => n > 1).reduce((a, b) => a + b, 0)
        expect(found.collisions).toEqual({
          distinct: times.length,
          colliding,
          rate: kept.length === 0 ? 0 : colliding / kept.length,
          largest: Math.max(0, ...times),
        })
        expect(found.bits.joint).toBeCloseTo(bitsOf(times), 10)
        expect(found.bits.entropy).toBeCloseTo(
          found.levels.reduce((sum, l) => sum + l.entropy, 0),
          10,
        )
        expect(found.bits.nominal).toBeCloseTo(Math.log2(sizes.reduce((a, b) => a * b, 1)), 10)
      }),
    )
  })

  test('full codes hold no more bits than their levels, and those no more than is stored', () => {
    fc.assert(
      fc.property(small, ({ sizes, rows }) => {
        const whole = rows.filter(row => row.every(code => code >= 0))
        const { bits, levels, collisions } = analyze({ sizes, rows: whole })
        expect(bits.joint).toBeLessThanOrEqual(bits.entropy + 1e-9)
        expect(bits.entropy).toBeLessThanOrEqual(bits.nominal + 1e-9)
        for (const level of levels) expect(bits.joint).toBeGreaterThanOrEqual(level.entropy - 1e-9)
        expect(bits.joint).toBeLessThanOrEqual(Math.log2(Math.max(1, collisions.distinct)) + 1e-9)
      }),
    )
  })

  test('do not depend on the order of the vectors, and leave masked ones out', () => {
    fc.assert(
      fc.property(small, given => {
        const { sizes, rows } = given
        const masked = sizes.map(() => -1)
        const mixed = [masked, ...[...rows].reverse(), masked]
        const [a, b] = [analyze(given), analyze({ sizes, rows: mixed })]
        expect(b.bits.joint).toBeCloseTo(a.bits.joint, 10)
        expect({ ...b, bits: 0 }).toEqual({ ...a, bits: 0 })
      }),
    )
  })

  test('are those of the quantizer that gave the codes', () => {
    const quantizer = new VectorQuantizer({
      numEmbeddings: 4,
      embeddingDim: 1,
      initCodebook: Float32Array.of(0, 1, 2, 3),
    })
    const z = tf.tensor2d([0.1, 0.2, 0.9, 2.2, -5], [5, 1])
    const indices = quantizer.eval().encode(z)
    const { levels } = analyzeCodes(indices.dataSync() as Int32Array, { codebookSize: 4 })
    const usage = quantizer.usage()
    expect([...usage.counts]).toEqual([3, 1, 1, 0])
    expect([...levels[0]!.counts]).toEqual([...usage.counts])
    expect(levels[0]!.perplexity).toBeCloseTo(usage.perplexity, 10)
    expect(tf.getBackend()).toBe('vq-cpu')
    tf.dispose([z, indices])
    quantizer.dispose()
  })

  test.each([
    ['a code that is too large', [0, 4], {}, VqValueError, /from 0 to 3 at level 0.*received 4 in vector 1/],
    ['a code below −1', [-2], {}, VqValueError, /received -2 in vector 0/],
    ['a code after a −1', [-1, 2], { levels: 2 }, VqValueError, /received 2 in vector 0/],
    ['a code after a −1 in the middle', [1, -1, 2], { levels: 3 }, VqValueError, /at level 2/],
    ['half a vector', [1, 2, 3], { levels: 2 }, VqShapeError, /3 codes and 2 sizes/],
    ['a size too few', [1, 2], { levels: 2, codebookSize: [4] }, VqShapeError, /2 codes and 1 sizes/],
    ['a size of 0', [1], { codebookSize: 0 }, VqConfigError, /codebookSize to be a whole number/],
    ['no size', [1], { codebookSize: undefined as never }, VqConfigError, /received undefined/],
    ['a size of null', [1], { codebookSize: null as never }, VqConfigError, /received null/],
    ['no level', [], { levels: 0 }, VqConfigError, /levels to be a whole number/],
    ['more levels than can be', [], { levels: 2 ** 40 }, VqConfigError, /levels to be a whole number/],
  ])('refuse %s', (_, codes, options, type, message) => {
    const call = () => analyzeCodes(Int32Array.from(codes), { codebookSize: 4, ...options })
    expect(call).toThrow(type)
    expect(call).toThrow(message)
  })

  test('refuse other things than arrays of codes, and no options', () => {
    for (const codes of [[1, 2], new Float32Array(2), undefined, tf.tensor1d([1], 'int32')])
      expect(() => analyzeCodes(codes as never, { codebookSize: 4 })).toThrow(/codes in an Int32Array/)
    expect(() => analyzeCodes(new Int32Array(1), undefined as never)).toThrow(VqConfigError)
  })
})

describe('entropy', () => {
  test('of counts is that of their shares, however large the counts are', () => {
    const counts = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 30 })
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 2 ** 40 }), (all, factor) => {
        const entropy = entropyOf(all)
        expect(entropy).toBeCloseTo(bitsOf(all), 10)
        expect(entropyOf(all.map(c => c * factor))).toBeCloseTo(entropy, 10)
        expect(entropy).toBeGreaterThanOrEqual(0)
        expect(entropy).toBeLessThanOrEqual(Math.log2(Math.max(1, all.length)) + 1e-12)
      }),
    )
  })

  test.each([[[1, -1]], [[Number.NaN]], [[Number.POSITIVE_INFINITY, 1]]])('refuses %j', counts => {
    expect(() => entropyOf(counts)).toThrow(VqValueError)
  })
})

describe('compression', () => {
  // The published ratios of squeezed segmentation features, which count no codebook.
  test.each([
    ['ViT features of 768 numbers, one of 512 codes', 768, 9, 512 * 64, 2730.67],
    ['DeepLab features of 2,048 numbers, four of 256 codes', 2048, 32, 4 * 256 * 64, 2048],
  ])('%s', (_, dim, bits, codebookNumbers, ratio) => {
    const count = 1000
    const found = compressionOf({ dim, bits, count, codebookNumbers })
    expect(found.original).toBe(32 * dim)
    expect(found.codes).toBe(bits)
    expect(found.ratio).toBeCloseTo(ratio, 2)
    // Bytes of floats over bytes of codes and codebook.
    expect(found.ratioWithCodebook).toBeCloseTo(
      (4 * dim * count) / ((bits / 8) * count + 4 * codebookNumbers),
      6,
    )
  })

  test('with the codebook is worse, and comes to the one without as vectors become many', () => {
    fc.assert(
      fc.property(
        fc.record({
          dim: fc.integer({ min: 1, max: 4096 }),
          bits: fc.double({ min: 0.5, max: 64, noNaN: true }),
          count: fc.integer({ min: 1, max: 1e6 }),
          codebookNumbers: fc.integer({ min: 1, max: 1e6 }),
        }),
        given => {
          const { ratio, ratioWithCodebook } = compressionOf(given)
          expect(ratioWithCodebook).toBeLessThan(ratio)
          const many = compressionOf({ ...given, count: 2 ** 50 }).ratioWithCodebook
          expect(many / ratio).toBeCloseTo(1, 4)
          expect(compressionOf({ ...given, codebookNumbers: 0 }).ratioWithCodebook).toBeCloseTo(ratio, 6)
        },
      ),
    )
  })

  test.each([
    { dim: 0 },
    { bits: -1 },
    { bits: Number.NaN },
    { count: 0 },
    { count: 1.5 },
    { codebookNumbers: -1 },
  ])('refuses %j', wrong => {
    const right = { dim: 4, bits: 8, count: 10, codebookNumbers: 16 }
    expect(() => compressionOf({ ...right, ...wrong })).toThrow(VqConfigError)
  })
})
