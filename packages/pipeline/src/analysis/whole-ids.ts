import { entropyOf } from '@vq/quantizers'
import { groupSizes, type PrefixOrder, prefixOrder } from './prefix-order.js'
import { histogramOf } from './prefix-tree.js'
import type { IdTable } from './table.js'

export interface WholeIds {
  /** Different IDs, all positions and levels together. */
  unique: number
  /** Entropy of the IDs in bits, 0 … log2 N. */
  entropy: number
  collisions: {
    /** Items whose ID another one has too. */
    items: number
    /** items / N */
    rate: number
    /** IDs that more than one item has. */
    ids: number
    /** Items of the commonest ID. */
    largest: number
    /** How many IDs have so many items, ascending. */
    histogram: { items: number; ids: number }[]
    /** The largest groups, as rows of the table, at most 20 rows of each. */
    examples: { items: number; rows: number[] }[]
  }
}

const [mostExamples, mostRows] = [30, 20]

export function wholeIdsOf(table: IdTable): WholeIds {
  const { codes, positions, levels, codebookSizes } = table
  const width = positions * levels
  const sorted = prefixOrder(codes, width, codebookSizes)
  const sizes = groupSizes(sorted, width)
  const ascending = sizes.slice().sort()
  const items = sizes.reduce((sum, n) => sum + (n > 1 ? n : 0), 0)
  return {
    unique: sizes.length,
    entropy: entropyOf(sizes),
    collisions: {
      items,
      rate: items / table.ids.length,
      ids: sizes.reduce((sum, n) => sum + (n > 1 ? 1 : 0), 0),
      largest: ascending[ascending.length - 1],
      histogram: histogramOf(ascending).map(({ value, times }) => ({ items: value, ids: times })),
      examples: examplesOf(sorted, sizes),
    },
  }
}

function examplesOf({ order }: PrefixOrder, sizes: Float64Array): { items: number; rows: number[] }[] {
  const starts = new Float64Array(sizes.length + 1)
  for (let g = 0; g < sizes.length; g++) starts[g + 1] = starts[g] + sizes[g]
  const shared = Uint32Array.from(sizes.keys()).filter(g => sizes[g] > 1)
  shared.sort((a, b) => sizes[b] - sizes[a] || a - b)
  return Array.from(shared.subarray(0, mostExamples), g => ({
    items: sizes[g],
    rows: Array.from(order.subarray(starts[g], starts[g] + Math.min(sizes[g], mostRows))),
  }))
}
