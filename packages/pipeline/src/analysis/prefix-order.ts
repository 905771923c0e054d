// Rows of codes in the order of a dictionary, and how much each shares with the one before: every figure of a prefix tree
// follows from these two arrays, and the tree itself is never built.
import { columnOf } from './table.js'

export interface PrefixOrder {
  /** [n], rows in ascending order of their codes, equal ones in ascending order of the row. */
  order: Uint32Array
  /** [n], how many leading codes row `order[i]` shares with row `order[i − 1]`; 0 for the first. */
  shared: Int32Array
  /** Codes of a row. */
  width: number
}

/** Of codes [n, width], row by row, of codebooks of `sizes[column % sizes.length]` codes; −1 comes before all. O(n · width). */
export function prefixOrder(codes: Int32Array, width: number, sizes: readonly number[]): PrefixOrder {
  const n = codes.length / width
  let order = new Uint32Array(n).map((_, i) => i)
  let next = new Uint32Array(n)
  // Least significant column first; each pass keeps the order of equals.
  for (let c = width - 1; c >= 0; c--) {
    const { values, size } = columnOf(codes, c, width, sizes[c % sizes.length])
    const places = new Uint32Array(size + 2)
    for (let i = 0; i < n; i++) places[values[i] + 2]++
    for (let k = 1; k < places.length; k++) places[k] += places[k - 1]
    for (let i = 0; i < n; i++) {
      const row = order[i]
      next[places[values[row] + 1]++] = row
    }
    ;[order, next] = [next, order]
  }
  const shared = new Int32Array(n)
  for (let i = 1; i < n; i++) {
    const [a, b] = [order[i - 1] * width, order[i] * width]
    let c = 0
    while (c < width && codes[a + c] === codes[b + c]) c++
    shared[i] = c
  }
  return { order, shared, width }
}

/** Sizes of the groups of rows that share their first `depth` codes, in dictionary order. */
export function groupSizes({ shared }: PrefixOrder, depth: number): Float64Array {
  const n = shared.length
  let groups = n === 0 ? 0 : 1
  for (let i = 1; i < n; i++) if (shared[i] < depth) groups++
  const sizes = new Float64Array(groups)
  let group = 0
  for (let i = 0; i < n; i++) {
    if (i > 0 && shared[i] < depth) group++
    sizes[group]++
  }
  return sizes
}

/** For each row the number of its group among rows that share their first `depth` codes, in dictionary order, [n]. */
export function groupsOf({ order, shared }: PrefixOrder, depth: number): Int32Array {
  const groups = new Int32Array(order.length)
  let group = 0
  for (let i = 0; i < order.length; i++) {
    if (i > 0 && shared[i] < depth) group++
    groups[order[i]] = group
  }
  return groups
}
