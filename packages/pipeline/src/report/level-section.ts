import type { IdAnalysis } from '../analysis/index.js'
import { count, figure, type Html, html, percent } from './html.js'
import { type Cell, sortableTable } from './tables.js'
import type { TreeNode } from './tree-data.js'

/** Rows of the tables of codes and prefixes. */
const [mostCodes, mostPrefixes] = [2000, 500]

export function levelTable({ levels, tree }: IdAnalysis): Html {
  return sortableTable(
    'Levels',
    [
      { title: 'level', kind: 'number' },
      { title: 'codes', hint: 'Size of the codebook', kind: 'number' },
      { title: 'in use', hint: 'Codes that occur', kind: 'number' },
      { title: 'share in use', kind: 'number' },
      { title: 'dead', hint: 'Codes that never occur', kind: 'number' },
      {
        title: 'entropy (bits)',
        hint: 'How hard a code is to guess; at most log2 of the codes',
        kind: 'number',
      },
      {
        title: 'given the prefix (bits)',
        hint: 'The same where the codes before are known. Few items make it low: all levels together cannot pass log2 of the items',
        kind: 'number',
      },
      { title: 'perplexity', hint: 'So many equally used codes would be as hard to guess', kind: 'number' },
      { title: 'commonest code', kind: 'number' },
    ],
    levels.map((l, i) => [
      { show: l.level + 1, value: l.level },
      { show: count(l.size), value: l.size },
      { show: count(l.uniqueTokens), value: l.uniqueTokens },
      { show: percent(l.usageRatio), value: l.usageRatio, bar: l.usageRatio },
      { show: count(l.dead), value: l.dead },
      { show: `${l.entropy.toFixed(2)} of ${Math.log2(l.size).toFixed(2)}`, value: l.entropy },
      { show: tree.depths[i].conditionalEntropy.toFixed(2), value: tree.depths[i].conditionalEntropy },
      { show: figure(l.perplexity), value: l.perplexity },
      { show: `${l.commonest.code} (${percent(l.commonest.share)})`, value: l.commonest.share },
    ]),
  )
}

export function treeTable({ tree }: IdAnalysis): Html {
  const rows = tree.depths.map(({ depth, nodes, children, newlyUnique, entropy }): Cell[] => {
    const unique = tree.depths.slice(0, depth).reduce((sum, d) => sum + d.newlyUnique, 0) / tree.rows
    return [
      { show: depth, value: depth },
      { show: count(nodes), value: nodes },
      { show: figure(children.mean), value: children.mean },
      { show: `${count(children.median)} · ${count(children.max)}`, value: children.max },
      { show: count(newlyUnique), value: newlyUnique },
      { show: percent(unique), value: unique, bar: unique },
      { show: entropy.toFixed(2), value: entropy },
    ]
  })
  return sortableTable(
    'Prefixes by length',
    [
      { title: 'codes', hint: 'Length of the prefix', kind: 'number' },
      { title: 'prefixes', hint: 'Different ones that occur', kind: 'number' },
      { title: 'branching', hint: 'Mean number of codes that follow a prefix one shorter', kind: 'number' },
      { title: 'median · most', hint: 'The same, median and largest', kind: 'number' },
      {
        title: 'become unique',
        hint: 'Items that no other shares this prefix with, but one code before',
        kind: 'number',
      },
      { title: 'unique so far', kind: 'number' },
      { title: 'entropy (bits)', kind: 'number' },
    ],
    rows,
  )
}

/** A table of all codes, or of the commonest, whose numbers open the explorer. */
export function codeTable({ levels }: IdAnalysis): Html {
  const all = levels.flatMap(({ level, tokens, chosen }) =>
    Array.from(chosen.codes, (code, i) => ({
      level,
      code,
      n: chosen.counts[i],
      share: chosen.counts[i] / tokens,
    })),
  )
  const shown = all.sort((a, b) => b.n - a.n || a.level - b.level || a.code - b.code).slice(0, mostCodes)
  const most = Math.max(...shown.map(code => code.share))
  const left = all.length - shown.length
  return html`${sortableTable(
    left > 0 ? `Codes: the ${count(shown.length)} commonest of ${count(all.length)}` : 'Codes',
    [
      { title: 'code', kind: 'number' },
      { title: 'level', kind: 'number' },
      { title: 'occurs', kind: 'number' },
      { title: 'share of its level', kind: 'number' },
    ],
    shown.map(({ level, code, n, share }) => [
      { show: codeLink([...new Array<string>(level).fill('*'), code], code), value: code },
      { show: level + 1, value: level },
      { show: count(n), value: n },
      { show: percent(share), value: share, bar: share / most },
    ]),
    { sorted: { column: 2, direction: 'descending' }, tall: true },
  )}`
}

/** The prefixes of two codes and more that most rows share. */
export function prefixTable({ labels, tree: shape }: IdAnalysis, root: TreeNode): Html | undefined {
  const all = (root.k ?? []).flatMap(child => deeper(child, [child.c])).filter(({ node }) => node.n > 1)
  if (all.length === 0) return undefined
  const shown = all
    .sort((a, b) => b.node.n - a.node.n || a.prefix.length - b.prefix.length)
    .slice(0, mostPrefixes)
  const classes = labels?.classes
  const of = (node: TreeNode): Cell => {
    const [label, times] = node.l ?? [0, 0]
    return { show: `${classes?.[label]} (${percent(times / node.n)})`, value: times / node.n }
  }
  return sortableTable(
    'Commonest prefixes of two codes and more',
    [
      { title: 'prefix', kind: 'text' },
      { title: 'codes', kind: 'number' },
      { title: 'occurs', kind: 'number' },
      { title: 'share', kind: 'number' },
      ...(classes ? [{ title: 'commonest label', kind: 'number' as const }] : []),
    ],
    shown.map(({ prefix, node }) => [
      { show: codeLink(prefix, prefix.join(' ')), value: prefix.join(' ') },
      { show: prefix.length, value: prefix.length },
      { show: count(node.n), value: node.n },
      { show: percent(node.n / shape.rows), value: node.n / shape.rows },
      ...(classes ? [of(node)] : []),
    ]),
    { sorted: { column: 2, direction: 'descending' }, tall: true },
  )
}

function deeper(node: TreeNode, prefix: readonly number[]): { prefix: readonly number[]; node: TreeNode }[] {
  return (node.k ?? []).flatMap(child => {
    const longer = [...prefix, child.c]
    return [{ prefix: longer, node: child }, ...deeper(child, longer)]
  })
}

/** A link into the explorer: codes of a prefix, '*' for any. */
export function codeLink(pattern: readonly (number | string)[], text: string | number): Html {
  return html`<a href="#code=${pattern.join('.')}">${text}</a>`
}

export function dependenceTable({ dependence, levels }: IdAnalysis): Html | undefined {
  if (dependence.length === 0) return undefined
  return sortableTable(
    'What two levels know about each other',
    [
      { title: 'levels', kind: 'text' },
      { title: 'shared bits', hint: 'Mutual information', kind: 'number' },
      { title: 'by chance', hint: 'What independent levels would show on so few items', kind: 'number' },
      { title: 'beyond chance', hint: 'As a share of the smaller entropy of the two', kind: 'number' },
    ],
    dependence.map(({ a, b, bits, chance }) => {
      const least = Math.min(levels[a].entropy, levels[b].entropy)
      const share = least > 0 ? Math.max(0, bits - chance) / least : 0
      return [
        { show: `${a + 1} and ${b + 1}`, value: a * 1000 + b },
        { show: bits.toFixed(3), value: bits },
        { show: chance.toFixed(3), value: chance },
        { show: percent(share), value: share, bar: share },
      ]
    }),
  )
}
