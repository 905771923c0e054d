import { expectInteger } from '@vq/core'
import {
  codesOf,
  expectSameKind,
  expectSameLength,
  type Labelled,
  type LabelledCodes,
  type LabelledFeatures,
  labelsOf,
} from './labelled.js'
import { emptyLists, offer } from './neighbors.js'
import { rowsOf, squaredDistance } from './rows.js'

const operation = 'nearestNeighborAccuracy'

/**
 * Share of test rows, 0 to 1, whose label is the commonest among their k nearest training rows: by Euclidean distance of
 * features, or by Hamming distance of codes (how many differ; −1 differs from all but −1). Of equal distances the lower
 * training row counts, of equally common labels the lower one. Everything in float64, one pair after another: N·M·dim steps
 * and k·M memory for N training and M test rows (10,000 × 1,000 × 64: a second).
 *
 * Source: Fix and Hodges 1951, "Discriminatory analysis"; Cover and Hart 1967,
 * https://doi.org/10.1109/TIT.1967.1053964.
 *
 * Throws VqConfigError (k from 1 to the training rows), VqShapeError for lengths that do not fit, VqValueError for numbers
 * that are not finite and for codes or labels that are not whole.
 *
 * @example
 * nearestNeighborAccuracy({ codes, levels: 16, labels }, { codes: testCodes, levels: 16, labels: testLabels }, { k: 5 })
 */
export function nearestNeighborAccuracy(
  train: LabelledCodes,
  test: LabelledCodes,
  options?: { k?: number },
): number
export function nearestNeighborAccuracy(
  train: LabelledFeatures,
  test: LabelledFeatures,
  options?: { k?: number },
): number
export function nearestNeighborAccuracy(
  train: Labelled,
  test: Labelled,
  options: { k?: number } = {},
): number {
  const { k = 1 } = options
  expectSameKind(operation, train, test)
  const { n, m, distance } =
    'codes' in train ? byCodes(train, test as LabelledCodes) : byFeatures(train, test as LabelledFeatures)
  const known = labelsOf(operation, 'train', train, n)
  const wanted = labelsOf(operation, 'test', test, m)
  expectInteger(operation, 'k', k, 1, n)
  const lists = emptyLists(m, k)
  let right = 0
  for (let row = 0; row < m; row++) {
    for (let i = 0; i < n; i++) offer(lists, row, i, distance(row, i))
    if (commonest(lists.indices.subarray(row * k, (row + 1) * k), known) === wanted[row]) right++
  }
  return right / m
}

interface Distances {
  /** Training rows. */
  n: number
  /** Test rows. */
  m: number
  /** Of a test row and a training row. */
  distance: (row: number, i: number) => number
}

function byFeatures(train: LabelledFeatures, test: LabelledFeatures): Distances {
  const a = rowsOf(operation, 'train', train)
  const b = rowsOf(operation, 'test', test)
  const { dim } = a
  expectSameLength(operation, dim, b.dim)
  return {
    n: a.n,
    m: b.n,
    distance: (row, i) => squaredDistance(b.values, row * dim, a.values, i * dim, dim),
  }
}

function byCodes(train: LabelledCodes, test: LabelledCodes): Distances {
  const a = codesOf(operation, 'train', train)
  const b = codesOf(operation, 'test', test)
  const { levels } = a
  expectSameLength(operation, levels, b.levels)
  return {
    n: a.n,
    m: b.n,
    distance: (row, i) => {
      let differ = 0
      for (let l = 0; l < levels; l++) if (a.codes[i * levels + l] !== b.codes[row * levels + l]) differ++
      return differ
    },
  }
}

function commonest(neighbors: Int32Array, labels: Int32Array): number {
  const votes = new Map<number, number>()
  for (const i of neighbors) votes.set(labels[i], (votes.get(labels[i]) ?? 0) + 1)
  let [best, most] = [0, 0]
  for (const [label, count] of votes)
    if (count > most || (count === most && label < best)) [best, most] = [label, count]
  return best
}
