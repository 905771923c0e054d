import { Random } from '@vq/core'
import type { IdTable } from '../analysis/index.js'
import type { PrefixOrder } from '../analysis/prefix-order.js'

/** Codes of the items in a report, together. */
const mostCodes = 250_000

export function sampleSize({ positions, levels }: IdTable, wanted: number): number {
  return Math.max(50, Math.min(wanted, Math.floor(mostCodes / (positions * levels))))
}

/**
 * At most `most` rows of a table, ascending: with one position as evenly from the first-level codes as there are items
 * (codes with fewer than their part give the rest to others), and within a code from all over its prefixes; else at random.
 */
export function shownRows(
  table: IdTable,
  sorted: PrefixOrder | undefined,
  most: number,
  seed: number,
): Int32Array {
  const n = table.ids.length
  if (n <= most) return Int32Array.from({ length: n }, (_, i) => i)
  if (sorted === undefined) return new Random(seed).permutation(n).slice(0, most).sort()
  const groups = firstLevel(sorted)
  const part = partOf(
    groups.map(([from, to]) => to - from),
    most,
  )
  const rows: number[] = []
  for (const [from, to] of groups) {
    const taken = Math.min(to - from, Math.floor(part))
    for (let i = 0; i < taken; i++) rows.push(sorted.order[from + Math.floor((i * (to - from)) / taken)])
  }
  // A code for each item and more: the parts round to nothing.
  if (rows.length === 0) return new Random(seed).permutation(n).slice(0, most).sort()
  return Int32Array.from(rows).sort()
}

// Ranges of the order that share their first code.
function firstLevel({ order, shared }: PrefixOrder): [number, number][] {
  const groups: [number, number][] = []
  for (let i = 0; i < order.length; i++) {
    if (i === 0 || shared[i] === 0) groups.push([i, i])
    groups[groups.length - 1][1] = i + 1
  }
  return groups
}

// The part p with Σ min(size, p) = most.
function partOf(sizes: readonly number[], most: number): number {
  const ascending = [...sizes].sort((a, b) => a - b)
  let left = most
  for (const [i, size] of ascending.entries()) {
    const part = left / (ascending.length - i)
    if (size > part) return part
    left -= size
  }
  return ascending[ascending.length - 1]
}
