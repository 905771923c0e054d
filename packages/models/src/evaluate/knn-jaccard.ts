import { expectInteger } from '@vq/core'
import { nearestOthers } from './neighbors.js'
import { expectPairs, type Features, pairedRows } from './rows.js'

/** All pairs of that many rows of 64 numbers take some minutes. */
const mostRows = 65_536

/**
 * How far two sets of features of the same N inputs agree about neighbours, 0 to 1: the mean over rows of |A ∩ B| / |A ∪ B|,
 * A and B the k nearest other rows in `a` and in `b` (Euclidean; of equal distances the lower index). a: [N, D1],
 * b: [N, D2]. Rows of one and the same code are all at distance 0: where such a group is larger than k, its first rows are
 * taken. Random neighbours give about k / 2N.
 *
 * Source: Jaccard 1912, "The distribution of the flora in the alpine zone"; mean over neighbourhoods as in Klabunde et al.
 * 2023, "Similarity of neural network models", arXiv 2305.06329, section 3.4. Takes N²·(D1 + D2)/2 steps (10,000 × 64:
 * about five seconds) and N·k memory; up to 65,536 rows.
 *
 * Throws VqConfigError (k from 1 to N − 1), VqShapeError (lengths; fewer than two rows), VqValueError for numbers that are
 * not finite, and VqMemoryError for more rows.
 *
 * @example
 * knnJaccard({ features: original, dim: 64 }, { features: quantized, dim: 64 }, { k: 10 })
 */
export function knnJaccard(a: Features, b: Features, options: { k?: number } = {}): number {
  const { k = 10 } = options
  const [x, y] = pairedRows('knnJaccard', a, b, 2)
  expectInteger('knnJaccard', 'k', k, 1, x.n - 1)
  expectPairs('knnJaccard', x.n, mostRows)
  const [inA, inB] = [nearestOthers(x, k).indices, nearestOthers(y, k).indices]
  let sum = 0
  for (let row = 0; row < x.n; row++) {
    const first = new Set(inA.subarray(row * k, (row + 1) * k))
    let shared = 0
    for (const other of inB.subarray(row * k, (row + 1) * k)) if (first.has(other)) shared++
    sum += shared / (2 * k - shared)
  }
  return sum / x.n
}
