import type { LabelFigures } from '../analysis/index.js'
import { count, figure, type Html, html, percent } from './html.js'
import { codeLink } from './level-section.js'
import { sortableTable } from './tables.js'
import type { TreeNode } from './tree-data.js'

/** Rows and columns of the table of labels by codes. */
const [mostCodes, mostClasses] = [300, 20]

export function agreementTable({ levels, prefixes }: LabelFigures): Html {
  const row = (name: string, depth: number, { groups, purity, nmi }: LabelFigures['levels'][number]) => [
    { show: name, value: depth },
    { show: count(groups), value: groups },
    { show: percent(purity), value: purity, bar: purity },
    { show: figure(nmi), value: nmi, bar: nmi },
  ]
  return sortableTable(
    'Codes and labels',
    [
      { title: 'by', kind: 'text' },
      { title: 'groups', hint: 'Different values that occur', kind: 'number' },
      { title: 'purity', hint: 'Items whose label is the commonest of their group', kind: 'number' },
      { title: 'NMI', hint: 'Normalised mutual information, arithmetic mean', kind: 'number' },
    ],
    [
      ...prefixes.map((p, i) => row(i === 0 ? 'first code' : `first ${i + 1} codes`, i, p)),
      ...levels.slice(1).map((l, i) => row(`code of level ${i + 2} alone`, 100 + i, l)),
    ],
  )
}

/** How many items of each label each first code has. `tallies`: [codes][classes] */
export function classTable(
  { classes, counts }: LabelFigures,
  root: TreeNode,
  tallies: ReadonlyMap<number, Float64Array>,
): Html | undefined {
  const rows = (root.k ?? []).slice(0, mostCodes)
  if (rows.length === 0) return undefined
  const order = counts.map((_, i) => i).sort((a, b) => counts[b] - counts[a] || a - b)
  const shown = order.slice(0, mostClasses)
  const left = classes.length - shown.length
  const all = (root.k ?? []).length
  const caption = `Labels by first code${rows.length < all ? `: the ${count(rows.length)} commonest of ${count(all)} codes` : ''}${left > 0 ? `, the ${mostClasses} largest of ${count(classes.length)} labels` : ''}`
  return html`<div class="heat">${sortableTable(
    caption,
    [
      { title: 'first code', kind: 'number' },
      { title: 'items', kind: 'number' },
      { title: 'purest', hint: 'Share of the commonest label', kind: 'number' },
      ...shown.map(i => ({ title: classes[i], kind: 'number' as const })),
    ],
    rows.map(({ c, n }) => {
      const tally = tallies.get(c) ?? new Float64Array(classes.length)
      const purest = tally.reduce((most, times) => Math.max(most, times), 0) / n
      return [
        { show: codeLink([c], c), value: c },
        { show: count(n), value: n },
        { show: percent(purest), value: purest },
        ...shown.map(i => ({ show: shade(tally[i] / n, tally[i]), value: tally[i] / n })),
      ]
    }),
    { sorted: { column: 1, direction: 'descending' }, tall: true },
  )}</div>`
}

// A number on a ground that is darker where the label has more of the code.
function shade(share: number, times: number): Html {
  const step = times === 0 ? 0 : Math.min(9, 1 + Math.floor(share * 9))
  return html`<span class="s${step}" title="${percent(share)}">${times === 0 ? '·' : count(times)}</span>`
}
