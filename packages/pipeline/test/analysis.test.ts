import { Random, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { normalizedMutualInformation } from '@vq/models/evaluate'
import { analysisFigures, analyzeIds, crossModalRecall, type IdTable, neighborsById } from '@vq/pipeline'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

function tableOf(codes: number[], levels: number, size: number | number[], positions = 1): IdTable {
  const codebookSizes = Array.isArray(size) ? size : new Array<number>(levels).fill(size)
  const ids = Array.from({ length: codes.length / (levels * positions) }, (_, i) => `item ${i}`)
  return { ids, codes: Int32Array.from(codes), positions, levels, codebookSizes }
}

const rows = (table: IdTable): number[][] => {
  const width = table.levels * table.positions
  return table.ids.map((_, i) => Array.from(table.codes.subarray(i * width, (i + 1) * width)))
}

function tally<K>(keys: Iterable<K>): Map<K, number> {
  const counts = new Map<K, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

function bits(keys: Iterable<string | number>): number {
  const counts = [...tally(keys).values()]
  const n = counts.reduce((a, b) => a + b, 0)
  return counts.reduce((sum, c) => sum - (c / n) * Math.log2(c / n), 0)
}

const small = fc.integer({ min: 1, max: 4 }).chain(levels =>
  fc.integer({ min: 1, max: 5 }).chain(size =>
    fc
      .array(fc.array(fc.integer({ min: 0, max: size - 1 }), { minLength: levels, maxLength: levels }), {
        minLength: 1,
        maxLength: 40,
      })
      .map(all => tableOf(all.flat(), levels, size)),
  ),
)

describe('figures of IDs', () => {
  test('of all pairs of two levels once: nothing collides, every code is used alike, levels are independent', () => {
    const codes = Array.from({ length: 64 }, (_, i) => [i >> 3, i & 7]).flat()
    const { levels, ids, bits, tree, dependence } = analyzeIds(tableOf(codes, 2, 8))
    expect(levels.map(l => [l.uniqueTokens, l.usageRatio, l.dead, l.commonest])).toEqual([
      [8, 1, 0, { code: 0, share: 1 / 8 }],
      [8, 1, 0, { code: 0, share: 1 / 8 }],
    ])
    for (const level of levels) {
      expect(level.entropy).toBeCloseTo(3, 12)
      expect(level.perplexity).toBeCloseTo(8, 12)
    }
    expect(ids.unique).toBe(64)
    expect(ids.collisions).toMatchObject({ items: 0, rate: 0, ids: 0, largest: 1, examples: [] })
    expect(ids.collisions.histogram).toEqual([{ items: 1, ids: 64 }])
    expect([bits.nominal, bits.entropy, bits.joint]).toEqual([6, 6, 6].map(b => expect.closeTo(b, 12)))
    expect(tree.depths.map(d => [d.nodes, d.newlyUnique, d.children.mean])).toEqual([
      [8, 0, 8],
      [64, 64, 8],
    ])
    expect(tree.depths[1].conditionalEntropy).toBeCloseTo(3, 12)
    expect([tree.neverUnique, tree.meanBranching]).toEqual([0, 8])
    expect(dependence[0].bits).toBeCloseTo(0, 12)
    expect(dependence[0].chance).toBeCloseTo(49 / (2 * 64 * Math.LN2), 12)
  })

  test('a level that repeats the one before adds nothing: its conditional entropy is 0 and they share all their bits', () => {
    const codes = Array.from({ length: 32 }, (_, i) => [i % 4, (i + 1) % 4]).flat()
    const { tree, dependence, ids } = analyzeIds(tableOf(codes, 2, 4))
    expect(tree.depths[1].conditionalEntropy).toBeCloseTo(0, 12)
    expect(dependence[0].bits).toBeCloseTo(2, 12)
    expect(ids.collisions).toMatchObject({ items: 32, rate: 1, ids: 4, largest: 8 })
    expect(ids.collisions.histogram).toEqual([{ items: 8, ids: 4 }])
    expect(ids.collisions.examples[0]).toEqual({ items: 8, rows: [0, 4, 8, 12, 16, 20, 24, 28] })
    expect(tree.neverUnique).toBe(32)
  })

  test('agree with counting by hand on any table', () => {
    fc.assert(
      fc.property(small, table => {
        const { tree, ids, dependence, levels } = analyzeIds(table)
        const all = rows(table)
        const prefix = (depth: number): string[] => all.map(row => row.slice(0, depth).join())
        for (const { depth, nodes, entropy, conditionalEntropy, children, newlyUnique } of tree.depths) {
          const here = prefix(depth)
          const counts = tally(here)
          const before = tally(prefix(depth - 1))
          expect(nodes).toBe(counts.size)
          expect(entropy).toBeCloseTo(bits(here), 10)
          expect(conditionalEntropy).toBeCloseTo(bits(here) - bits(prefix(depth - 1)), 10)
          expect(children.mean).toBeCloseTo(counts.size / before.size, 10)
          expect(children.histogram.reduce((n, h) => n + h.nodes, 0)).toBe(before.size)
          const unique = all.filter(
            row =>
              counts.get(row.slice(0, depth).join()) === 1 &&
              (depth === 1 ? all.length > 0 : before.get(row.slice(0, depth - 1).join())! > 1),
          )
          expect(newlyUnique).toBe(unique.length)
        }
        const whole = tally(prefix(table.levels))
        expect(ids.unique).toBe(whole.size)
        expect(ids.collisions.items).toBe([...whole.values()].filter(n => n > 1).reduce((a, b) => a + b, 0))
        expect(tree.neverUnique).toBe(ids.collisions.items)
        for (const { a, b, bits: shared } of dependence) {
          const [x, y] = [a, b].map(l => all.map(row => row[l]))
          expect(shared).toBeCloseTo(bits(x) + bits(y) - bits(all.map(row => `${row[a]},${row[b]}`)), 10)
        }
        for (const { level, entropy, tokens } of levels) {
          expect(entropy).toBeCloseTo(bits(all.map(row => row[level])), 10)
          expect(tokens).toBe(all.length)
        }
      }),
      { numRuns: 150 },
    )
  })

  test('count vectors of several positions apart and IDs as a whole, and leave masked positions out', () => {
    // Items [1,2 | 3,0], [1,2 | masked], [1,2 | 3,0]
    const table = tableOf([1, 2, 3, 0, 1, 2, -1, -1, 1, 2, 3, 0], 2, 4, 2)
    const { levels, ids, tree, bits: stored } = analyzeIds(table)
    expect(levels[0]).toMatchObject({ tokens: 5, uniqueTokens: 2, commonest: { code: 1, share: 3 / 5 } })
    expect(ids.unique).toBe(2)
    expect(ids.collisions.examples).toEqual([{ items: 2, rows: [0, 2] }])
    expect(tree.rows).toBe(5)
    expect(stored.nominal).toBe(8)
    expect(stored.entropy).toBeCloseTo((5 / 3) * 2 * bits([1, 1, 1, 0, 0]), 12)
  })

  test('take codebooks of millions of codes', () => {
    const codes = [2 ** 31 - 2, 7, 5, 7, 2 ** 31 - 2, 7]
    const { levels, ids, tree } = analyzeIds(tableOf(codes, 2, [2 ** 31 - 1, 8]))
    expect(levels[0]).toMatchObject({ uniqueTokens: 2, dead: 2 ** 31 - 3 })
    expect(ids.collisions.examples).toEqual([{ items: 2, rows: [0, 2] }])
    expect(tree.depths[0].nodes).toBe(2)
  })

  test('without their counts are plain JSON', () => {
    const analysis = analyzeIds(tableOf([0, 1, 2, 3], 2, 4), { labels: ['a', 'b'] })
    const figures = analysisFigures(analysis)
    expect(JSON.parse(JSON.stringify(figures))).toEqual(figures)
    expect(figures.levels[0]).not.toHaveProperty('chosen')
    expect(analysis.levels[0].chosen.codes).toEqual(Int32Array.of(0, 2))
  })

  test('refuse codes that the codebooks do not have, and lengths that do not fit', () => {
    expect(() => analyzeIds(tableOf([0, 4], 2, 4))).toThrow(VqValueError)
    expect(() => analyzeIds(tableOf([-1, 3], 2, 4))).toThrow(VqValueError)
    expect(() => analyzeIds({ ...tableOf([0, 1], 2, 4), ids: ['a', 'b'] })).toThrow(VqShapeError)
    expect(() => analyzeIds({ ...tableOf([0, 1], 2, 4), codebookSizes: [4] })).toThrow(VqConfigError)
    expect(() => analyzeIds(tableOf([0, 1], 2, 4), { labels: [1, 2] })).toThrow(VqShapeError)
  })
})

describe('figures with labels', () => {
  test('of codes that are the labels: purity and mutual information 1; of one code: the share of the commonest', () => {
    const labels = ['cat', 'dog', 'cat', 'dog', 'cat', 'bird']
    const codes = [0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0]
    const { labels: figures } = analyzeIds(tableOf(codes, 2, 3), { labels })
    expect(figures?.classes).toEqual(['cat', 'dog', 'bird'])
    expect(figures?.counts).toEqual([3, 2, 1])
    expect(figures?.levels[0]).toEqual({ groups: 3, purity: 1, nmi: 1 })
    expect(figures?.levels[1]).toEqual({ groups: 1, purity: 0.5, nmi: 0 })
    expect(figures?.prefixes.map(p => p.groups)).toEqual([3, 3])
  })

  test('agree with normalizedMutualInformation and with purity by hand on any table', () => {
    fc.assert(
      fc.property(small, fc.integer({ min: 0, max: 1e9 }), (table, seed) => {
        const random = new Random(seed)
        const labels = table.ids.map(() => random.integer(3))
        const all = rows(table)
        const { prefixes, levels } = analyzeIds(table, { labels }).labels!
        for (const [l, { purity, nmi, groups }] of prefixes.entries()) {
          const depth = l + 1
          const codes = all.flatMap(row => row.slice(0, depth))
          expect(nmi).toBeCloseTo(normalizedMutualInformation(codes, labels, { levels: depth }), 12)
          const names = all.map(row => row.slice(0, depth).join())
          const clusters = [...new Set(names)]
          const most = clusters.map(name =>
            Math.max(...tally(labels.filter((_, i) => names[i] === name)).values()),
          )
          expect(groups).toBe(clusters.length)
          expect(purity).toBeCloseTo(most.reduce((a, b) => a + b, 0) / labels.length, 12)
          const alone = all.map(row => row[l])
          expect(levels[l].nmi).toBeCloseTo(normalizedMutualInformation(alone, labels), 12)
        }
      }),
      { numRuns: 100 },
    )
  })

  test('find neighbours of one class in embeddings of far classes, and not where vectors are all alike', () => {
    const [n, dim] = [80, 3]
    const random = new Random(1)
    const labels = Int32Array.from({ length: n }, (_, i) => i % 4)
    const values = Float32Array.from({ length: n * dim }, (_, i) => {
      const row = Math.floor(i / dim)
      return 10 * (labels[row] % 2) * (i % 2) + 10 * labels[row] + random.normal(0, 0.1)
    })
    const table = tableOf(new Array(n).fill(0), 1, 4)
    const alike = new Float32Array(n * dim).fill(1)
    const knn = analyzeIds(table, {
      labels,
      embeddings: { values, dim },
      decoded: { values: alike, dim },
    }).labels!.knn!
    expect(knn).toMatchObject({ k: 10, folds: 4, sampled: 80, embeddings: 1, majority: 0.25 })
    // Ties of equal vectors come in random order: a guess.
    expect(knn.decoded).toBeLessThan(0.45)
  })
})

describe('figures with embeddings', () => {
  test('of vectors decoded to themselves all is kept, of zeros nothing but the mean', () => {
    const random = new Random(2)
    const dim = 4
    const values = random.fillNormal(new Float32Array(200 * dim))
    const table = tableOf(new Array(200).fill(0), 1, 2)
    const same = analyzeIds(table, { embeddings: { values, dim }, decoded: { values, dim } }).fidelity!
    expect(same).toMatchObject({ vectors: 200, mse: 0, explained: 1 })
    expect(same.cosine).toBeCloseTo(1, 12)
    expect(same.neighbors).toMatchObject({ k: 10, sampled: 200, jaccard: 1 })
    const zero = analyzeIds(table, {
      embeddings: { values, dim },
      decoded: { values: new Float32Array(200 * dim), dim },
    }).fidelity!
    expect(zero.mse).toBeCloseTo(values.reduce((sum, v) => sum + v * v, 0) / values.length, 6)
    expect(Math.abs(zero.explained)).toBeLessThan(0.02)
    expect(zero.cosine).toBeNaN()
    expect(zero.neighbors.jaccard).toBeLessThan(0.1)
  })

  test('of halved vectors: the error is a quarter of the square, the angle is kept; a sample says its size', () => {
    const random = new Random(3)
    const dim = 2
    const values = random.fillNormal(new Float32Array(300 * dim))
    const half = values.map(v => v / 2)
    const table = tableOf(new Array(600).fill(0), 1, 2)
    const chosen = Int32Array.from({ length: 300 }, (_, i) => 2 * i)
    const { vectors, mse, cosine, neighbors } = analyzeIds(table, {
      embeddings: { values, dim, rows: chosen },
      decoded: { values: half, dim, rows: chosen },
      sample: 100,
    }).fidelity!
    expect(vectors).toBe(300)
    expect(mse).toBeCloseTo(values.reduce((sum, v) => sum + v * v, 0) / values.length / 4, 6)
    expect(cosine).toBeCloseTo(1, 6)
    expect(neighbors).toMatchObject({ sampled: 100, jaccard: 1 })
  })

  test('leave masked positions out, and take the mean of the others for an item', () => {
    // Two positions of two numbers; the second position of item 1 is masked, and what stands there does not matter.
    const table = tableOf([0, 1, 1, -1, 0, 0], 1, 2, 2)
    const values = Float32Array.of(0, 0, 2, 2, 4, 4, 99, 99, 8, 8, 8, 8)
    const decoded = Float32Array.of(0, 1, 2, 3, 4, 5, -7, -7, 8, 9, 8, 9)
    const { vectors, mse, neighbors } = analyzeIds(table, {
      embeddings: { values, dim: 2 },
      decoded: { values: decoded, dim: 2 },
    }).fidelity!
    expect([vectors, mse]).toEqual([5, 0.5])
    // Means 1, 4 and 8 along the diagonal, and the same shifted: neighbours agree.
    expect(neighbors).toMatchObject({ k: 2, sampled: 3, jaccard: 1 })
  })

  test('must be of the same items, finite, and of rows that there are', () => {
    const table = tableOf([0, 1], 1, 2)
    const values = new Float32Array(4)
    const decoded = { values, dim: 2 }
    expect(() => analyzeIds(table, { embeddings: { values, dim: 3 }, decoded })).toThrow(VqShapeError)
    expect(() => analyzeIds(table, { embeddings: { values, dim: 2, rows: [1, 0] }, decoded })).toThrow(
      VqShapeError,
    )
    expect(() => analyzeIds(table, { embeddings: { values, dim: 2, rows: [0, 0] }, decoded })).toThrow(
      VqConfigError,
    )
    const bad = Float32Array.of(0, Number.NaN, 1, 2)
    expect(() => analyzeIds(table, { embeddings: { values: bad, dim: 2 }, decoded })).toThrow(VqValueError)
  })
})

describe('neighbours by ID', () => {
  test('share the longest prefix first, then differ least, then come first', () => {
    const table = tableOf([1, 2, 3, 1, 2, 0, 1, 0, 3, 0, 2, 3, 1, 2, 3, 1, 0, 0, 0, 0, 0], 3, 4)
    expect(neighborsById(table, 0, 9).map(n => [n.row, n.sharedPrefix, n.hamming])).toEqual([
      [4, 3, 0],
      [1, 2, 1],
      [2, 1, 1],
      [5, 1, 2],
      [3, 0, 1],
      [6, 0, 3],
    ])
    expect(neighborsById(table, [0, 2, 3], 1)).toEqual([
      { row: 3, id: 'item 3', sharedPrefix: 3, hamming: 0 },
    ])
  })

  test('are those of sorting all items, for any table of several positions', () => {
    fc.assert(
      fc.property(small, fc.integer({ min: 1, max: 6 }), (flat, k) => {
        const { levels } = flat
        const n = flat.ids.length >> 1
        fc.pre(n > 0)
        const table = {
          ...flat,
          positions: 2,
          ids: flat.ids.slice(0, n),
          codes: flat.codes.slice(0, 2 * n * levels),
        }
        const all = rows(table)
        const scored = all.map((row, at) => {
          let shared = 0
          for (const p of [0, 1])
            for (let l = 0; l < levels && row[p * levels + l] === all[0][p * levels + l]; l++) shared++
          return { at, shared, hamming: row.filter((code, i) => code !== all[0][i]).length }
        })
        const wanted = scored
          .slice(1)
          .sort((a, b) => b.shared - a.shared || a.hamming - b.hamming || a.at - b.at)
          .slice(0, k)
        expect(neighborsById(table, 0, k).map(f => [f.row, f.sharedPrefix, f.hamming])).toEqual(
          wanted.map(w => [w.at, w.shared, w.hamming]),
        )
      }),
      { numRuns: 100 },
    )
  })
})

describe('cross-modal recall', () => {
  test('of a table with itself is 1 where IDs differ, and chance where all are alike', () => {
    const different = tableOf(Array.from({ length: 40 }, (_, i) => [i >> 3, i & 7]).flat(), 2, 8)
    for (const { aToB, bToA } of crossModalRecall(different, different).recall)
      expect([aToB, bToA]).toEqual([1, 1])
    const alike = tableOf(new Array(80).fill(3), 2, 8)
    const { pairs, recall } = crossModalRecall(alike, alike)
    expect(pairs).toBe(40)
    for (const { k, aToB, bToA, chance } of recall) {
      expect(chance).toBe(k / 40)
      expect(aToB).toBeCloseTo(k / 40, 12)
      expect(bToA).toBeCloseTo(k / 40, 12)
    }
  })

  test('is what drawing among ties gives on average', () => {
    // Item 0 of a ties with two of b; item 1 finds its partner third.
    const a = tableOf([0, 1, 2, 3], 1, 8)
    const b = tableOf([0, 0, 2, 1], 1, 8)
    const at = (k: number): number => crossModalRecall(a, b, { ks: [k] }).recall[0].aToB
    // 0: tie of 2. 1: b[3] nearer, then a tie of 3. 2: alone. 3: all four tie.
    expect(at(1)).toBeCloseTo((1 / 2 + 0 + 1 + 1 / 4) / 4, 12)
    expect(at(2)).toBeCloseTo((1 + 1 / 3 + 1 + 2 / 4) / 4, 12)
    expect(at(4)).toBe(1)
  })

  test('of vectors: by angle, and by distance where asked; both directions are told apart', () => {
    const a = { values: Float32Array.of(1, 0, 0, 1), dim: 2 }
    const longer = { values: Float32Array.of(5, 0, 0, 0.1), dim: 2 }
    expect(crossModalRecall(a, longer, { ks: [1] }).recall[0]).toMatchObject({ aToB: 1, bToA: 1 })
    // By distance: a0 is nearer to b1 (√1.01) than to b0 (4), a1 to b1; b0 to a0, b1 to a1.
    const byDistance = crossModalRecall(a, longer, { ks: [1], metric: 'l2' }).recall[0]
    expect(byDistance).toMatchObject({ aToB: 0.5, bToA: 1 })
    expect(() => crossModalRecall(a, { values: new Float32Array(6), dim: 2 })).toThrow(VqShapeError)
    expect(() => crossModalRecall(a, tableOf([0, 1], 1, 2))).toThrow(VqConfigError)
  })

  test('says how many of how many pairs were compared', () => {
    const table = tableOf(
      Array.from({ length: 50 }, (_, i) => i),
      1,
      50,
    )
    const sampled = crossModalRecall(table, table, { sample: 20, ks: [1, 30] })
    expect(sampled).toMatchObject({ pairs: 20, of: 50, recall: [{ k: 1, aToB: 1, chance: 0.05 }] })
  })
})
