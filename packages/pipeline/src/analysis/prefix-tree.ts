import { entropyOf } from '@vq/quantizers'
import { groupSizes, type PrefixOrder } from './prefix-order.js'

export interface TreeDepth {
  /** Codes of the prefixes, 1 … L. */
  depth: number
  /** Prefixes that occur. */
  nodes: number
  /** Entropy in bits of the prefixes of this length. */
  entropy: number
  /** Entropy in bits of the last code of the prefix where the codes before it are known, H(depth) − H(depth − 1). */
  conditionalEntropy: number
  /** Rows that share their prefix with no other row from this depth on, and not before. */
  newlyUnique: number
  /** Children of the nodes one depth above. */
  children: { mean: number; median: number; max: number; histogram: { children: number; nodes: number }[] }
}

/** The shape of the tree of prefixes. */
export interface PrefixTree {
  /** Rows: vectors that are not masked (items, where each has one position). */
  rows: number
  depths: TreeDepth[]
  /** Rows whose whole code another row has too. */
  neverUnique: number
  /** Mean children of the nodes that have any, over all depths. */
  meanBranching: number
}

/** From rows in dictionary order. */
export function treeOf(sorted: PrefixOrder): PrefixTree {
  const { shared, width } = sorted
  const rows = shared.length
  const uniqueAt = uniqueDepths(sorted)
  let before = 0
  let parents = 0
  const depths = Array.from({ length: width }, (_, at) => {
    const depth = at + 1
    const entropy = entropyOf(groupSizes(sorted, depth))
    const children = childrenOf(shared, depth)
    const nodes = children.reduce((sum, n) => sum + n, 0)
    const conditionalEntropy = Math.max(0, entropy - before)
    before = entropy
    parents += children.length
    return {
      depth,
      nodes,
      entropy,
      conditionalEntropy,
      newlyUnique: uniqueAt[depth],
      children: spreadOf(children),
    }
  })
  const nodes = depths.reduce((sum, depth) => sum + depth.nodes, 0)
  return {
    rows,
    depths,
    neverUnique: uniqueAt[width + 1],
    meanBranching: parents === 0 ? 0 : nodes / parents,
  }
}

// How many rows become unique with their first 1, 2, … codes; those that never do are counted behind.
function uniqueDepths({ shared, width }: PrefixOrder): Float64Array {
  const counts = new Float64Array(width + 2)
  const n = shared.length
  for (let i = 0; i < n; i++) counts[1 + Math.max(shared[i], i + 1 < n ? shared[i + 1] : 0)]++
  return counts
}

// Children of each node of depth − 1.
function childrenOf(shared: Int32Array, depth: number): Float64Array {
  const children: number[] = []
  for (let i = 0; i < shared.length; i++) {
    if (i === 0 || shared[i] < depth - 1) children.push(1)
    else if (shared[i] < depth) children[children.length - 1]++
  }
  return Float64Array.from(children)
}

function spreadOf(counts: Float64Array): TreeDepth['children'] {
  if (counts.length === 0) return { mean: 0, median: 0, max: 0, histogram: [] }
  const sorted = counts.slice().sort()
  const middle = sorted.length >> 1
  return {
    mean: sorted.reduce((sum, c) => sum + c, 0) / sorted.length,
    median: sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
    max: sorted[sorted.length - 1],
    histogram: histogramOf(sorted).map(({ value, times }) => ({ children: value, nodes: times })),
  }
}

/** How often each value occurs, ascending; of ascending values. */
export function histogramOf(sorted: ArrayLike<number>): { value: number; times: number }[] {
  const histogram: { value: number; times: number }[] = []
  for (let i = 0; i < sorted.length; i++) {
    const last = histogram.at(-1)
    if (last?.value === sorted[i]) last.times++
    else histogram.push({ value: sorted[i], times: 1 })
  }
  return histogram
}
