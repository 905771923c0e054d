import type { PrefixOrder } from '../analysis/prefix-order.js'

/** A prefix as the page holds it; short names, since there are thousands. */
export interface TreeNode {
  /** The last code of the prefix. */
  c: number
  /** Rows. */
  n: number
  /** Class and rows, the commonest first, at most 5; of the root 20. */
  l?: number[]
  /** Children, the commonest first. */
  k?: TreeNode[]
  /** Children that are left out, where some are. */
  m?: number
}

interface Range {
  node: TreeNode
  from: number
  to: number
  depth: number
}

const [mostNodes, mostChildren, mostClasses, mostOfAll] = [9000, 1500, 5, 20]

/**
 * The tree of prefixes of codes [n, width] in dictionary order, breadth first, the largest first, up to some thousand nodes;
 * only prefixes of two rows and more have children. `classes`: the class of each row, where there are any.
 */
export function treeNodes(
  codes: Int32Array,
  { order, shared, width }: PrefixOrder,
  classes: Int32Array | undefined,
): TreeNode {
  const root: TreeNode = { c: -1, n: order.length }
  if (classes) root.l = commonestOf(classes, order, { from: 0, to: order.length }, mostOfAll)
  let level: Range[] = [{ node: root, from: 0, to: order.length, depth: 0 }]
  let made = 0
  while (level.length > 0) {
    const next: Range[] = []
    for (const range of level) {
      if (range.depth === width || (range.depth > 0 && range.node.n < 2)) continue
      const all = childrenOf(codes, order, shared, width, range)
      const kept = all.slice(0, Math.min(mostChildren, Math.max(0, mostNodes - made)))
      made += kept.length
      if (kept.length < all.length) range.node.m = all.length - kept.length
      if (kept.length > 0) range.node.k = kept.map(child => child.node)
      for (const child of kept) {
        if (classes) child.node.l = commonestOf(classes, order, child, mostClasses)
        next.push(child)
      }
    }
    level = next.sort((a, b) => b.node.n - a.node.n)
  }
  return root
}

function childrenOf(
  codes: Int32Array,
  order: Uint32Array,
  shared: Int32Array,
  width: number,
  { from, to, depth }: Range,
): Range[] {
  const children: Range[] = []
  for (let i = from; i < to; i++) {
    if (i === from || shared[i] <= depth)
      children.push({ node: { c: codes[order[i] * width + depth], n: 0 }, from: i, to: i, depth: depth + 1 })
    const child = children[children.length - 1]
    child.node.n++
    child.to = i + 1
  }
  return children.sort((a, b) => b.node.n - a.node.n || a.node.c - b.node.c)
}

function commonestOf(
  classes: Int32Array,
  order: Uint32Array,
  { from, to }: Pick<Range, 'from' | 'to'>,
  most: number,
): number[] {
  const tally = new Map<number, number>()
  for (let i = from; i < to; i++) tally.set(classes[order[i]], (tally.get(classes[order[i]]) ?? 0) + 1)
  return [...tally]
    .sort((a, b) => b[1] - a[1] || a[0] - b[0])
    .slice(0, most)
    .flat()
}
