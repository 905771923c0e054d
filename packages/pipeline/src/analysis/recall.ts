import { expectConfig, expectInteger, expectOneOf, expectShape, VqValueError } from '@vq/core'
import { affinity } from './neighbors.js'
import { sampleOf } from './sample.js'
import { expectTable, type IdTable, type ItemVectors } from './table.js'

export interface RecallOptions {
  /** Default [1, 5, 10]; those above the number of pairs are left out. */
  ks?: readonly number[]
  /** Most pairs; of more, a random sample is taken, queries and candidates alike. Default 5,000. */
  sample?: number
  /** Of that sample. Default 0. */
  seed?: number
  /** Of vectors. Default 'cosine'. */
  metric?: 'cosine' | 'l2'
}

export interface RecallAt {
  k: number
  /** Share of items of a whose partner in b is among the k nearest, 0 … 1. */
  aToB: number
  bToA: number
  /** What guessing would reach, k / pairs. */
  chance: number
}

export interface CrossModalRecall {
  /** Pairs compared; fewer candidates make recall higher. */
  pairs: number
  /** Pairs given. */
  of: number
  recall: RecallAt[]
}

/**
 * Recall@k of paired items: row i of `a` (such as pictures) belongs to row i of `b` (their captions). Tables of codes are compared
 * as by {@link neighborsById}, vectors by cosine or distance. Candidates at one distance are taken in random order, and what
 * is given is the recall to expect then: with e nearer ones and t at the partner's distance, itself included, it is among the
 * first k with probability (k − e) / t, cut to 0 … 1. Identical codes therefore earn no luck.
 *
 * Throws VqConfigError, VqShapeError for sets that do not pair, VqValueError for numbers that are not finite.
 */
export function crossModalRecall(
  a: IdTable | ItemVectors,
  b: IdTable | ItemVectors,
  options: RecallOptions = {},
): CrossModalRecall {
  const operation = 'crossModalRecall'
  const { ks = [1, 5, 10], sample = 5000, seed = 0, metric = 'cosine' } = options
  for (const k of ks) expectInteger(operation, 'each of ks', k, 1)
  expectInteger(operation, 'sample', sample, 1, 100_000)
  expectOneOf(operation, 'metric', metric, ['cosine', 'l2'])
  const { n, similarity } = 'codes' in a ? ofCodes(a, b) : ofVectors(a, b, metric)
  const rows = sampleOf(n, sample, seed)
  const pairs = rows.length
  const useful = ks.filter(k => k <= pairs)
  const sums = useful.map(() => [0, 0])
  // Column by column the same similarities serve the other direction.
  for (const [direction, of] of [
    (i: number, j: number): number => similarity(i, j),
    (i: number, j: number): number => similarity(j, i),
  ].entries())
    for (const i of rows) {
      const own = of(i, i)
      let [nearer, tied] = [0, 0]
      for (const j of rows) {
        const s = of(i, j)
        if (s > own) nearer++
        else if (s === own) tied++
      }
      for (const [at, k] of useful.entries())
        sums[at][direction] += Math.min(1, Math.max(0, (k - nearer) / tied))
    }
  return {
    pairs,
    of: n,
    recall: useful.map((k, at) => ({
      k,
      aToB: sums[at][0] / pairs,
      bToA: sums[at][1] / pairs,
      chance: k / pairs,
    })),
  }
}

interface Similarity {
  n: number
  /** Of row i of a and row j of b, the larger the nearer; equal rows give equal numbers. */
  similarity: (i: number, j: number) => number
}

function ofCodes(a: IdTable, b: IdTable | ItemVectors): Similarity {
  const operation = 'crossModalRecall'
  expectConfig('codes' in b, operation, 'two tables of codes, or two sets of vectors', b, 'Pass one kind.')
  const [n, m] = [expectTable(operation, a), expectTable(operation, b)]
  const { positions, levels } = a
  expectShape(
    n === m && positions === b.positions && levels === b.levels,
    operation,
    'tables of as many items, positions and levels',
    `[${n}, ${positions}, ${levels}] and [${m}, ${b.positions}, ${b.levels}]`,
    'Row i of both must be one pair, encoded with a shared codebook.',
  )
  const width = positions * levels
  return { n, similarity: (i, j) => affinity(a.codes, i * width, b.codes, j * width, positions, levels) }
}

function ofVectors(a: ItemVectors, b: IdTable | ItemVectors, metric: 'cosine' | 'l2'): Similarity {
  const operation = 'crossModalRecall'
  expectConfig('values' in b, operation, 'two tables of codes, or two sets of vectors', b, 'Pass one kind.')
  const { dim } = a
  expectInteger(operation, 'dim', dim, 1)
  const n = a.values.length / dim
  expectShape(
    Number.isInteger(n) && n > 0 && b.dim === dim && a.values.length === b.values.length,
    operation,
    'as many vectors of one length in both',
    `${a.values.length} numbers by ${dim} and ${b.values.length} by ${b.dim}`,
    'Row i of both must be one pair.',
  )
  const [x, y] = [a.values, b.values].map(values => rowsOf(operation, values, dim, metric))
  return {
    n,
    similarity: (i, j) => {
      let sum = 0
      if (metric === 'cosine') for (let d = 0; d < dim; d++) sum += x[i * dim + d] * y[j * dim + d]
      else for (let d = 0; d < dim; d++) sum -= (x[i * dim + d] - y[j * dim + d]) ** 2
      return sum
    },
  }
}

// In float64; for the cosine divided by their length, zero rows as they are.
function rowsOf(operation: string, values: Float32Array, dim: number, metric: 'cosine' | 'l2'): Float64Array {
  const out = Float64Array.from(values)
  for (let from = 0; from < out.length; from += dim) {
    let sum = 0
    for (let d = 0; d < dim; d++) sum += out[from + d] ** 2
    if (!Number.isFinite(sum))
      throw new VqValueError({
        operation,
        expected: 'finite vectors',
        received: `NaN or infinity in row ${from / dim}`,
        remedy: 'Leave such pairs out.',
      })
    if (metric === 'cosine' && sum > 0) for (let d = 0; d < dim; d++) out[from + d] /= Math.sqrt(sum)
  }
  return out
}
