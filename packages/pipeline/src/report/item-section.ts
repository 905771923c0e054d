import type { CrossModalRecall, IdNeighbor, IdTable } from '../analysis/index.js'
import { count, type Html, html, percent, shortened } from './html.js'
import type { ReportInput } from './input.js'
import { sortableTable } from './tables.js'
import type { Shown } from './thumbnails.js'

export interface ShownItem extends Shown {
  row: number
  id: string
  /** Name of its class. */
  label?: string
}

/** An item as a small card. Pictures are stored once and set by the script. */
export function itemCard(item: ShownItem, note?: Html | string, more = ''): Html {
  const { picture, text, id } = item
  return html`<figure class="item${more && ` ${more}`}">${pictureOf(picture, text === '' ? id : text)}${
    text !== '' && html`<p class="text" dir="auto">${shortened(text, 180)}</p>`
  }<figcaption><span class="id" dir="auto" title="${id}">${shortened(id, 60)}</span>${note !== undefined && html`<span class="note">${note}</span>`}${item.label !== undefined && html`<span class="label" dir="auto">${shortened(item.label, 40)}</span>`}</figcaption></figure>`
}

function pictureOf(picture: number, alt: string): Html | undefined {
  return picture < 0
    ? undefined
    : html`<img data-p="${picture}" alt="${shortened(alt, 120)}" width="64" height="64">`
}

/** Codes of an item; of several positions only the first few. */
export function codesOf({ codes, positions, levels }: IdTable, row: number): string {
  const width = positions * levels
  const own = Array.from(codes.subarray(row * width, row * width + Math.min(width, 3 * levels)))
  const byPosition = Array.from({ length: own.length / levels }, (_, p) =>
    own
      .slice(p * levels, (p + 1) * levels)
      .map(code => (code < 0 ? '–' : code))
      .join(' '),
  )
  return byPosition.join(' | ') + (width > own.length ? ' | …' : '')
}

export interface NeighborRow {
  query: ShownItem
  neighbors: { item: ShownItem; found: IdNeighbor }[]
}

export function neighborRows(table: IdTable, rows: readonly NeighborRow[]): Html {
  const note = ({ sharedPrefix, hamming }: IdNeighbor): string => {
    if (hamming === 0) return 'same ID'
    return table.positions === 1
      ? `${sharedPrefix} of ${table.levels} shared`
      : `${hamming} of ${count(table.positions * table.levels)} differ`
  }
  return html`<div class="neighbors">${rows.map(
    ({ query, neighbors }) =>
      html`<div class="strip">${itemCard(query, html`<code>${codesOf(table, query.row)}</code>`, 'query')}<div class="found">${neighbors.map(
        ({ item, found }) => itemCard(item, note(found)),
      )}</div></div>\n`,
  )}</div>`
}

export function collisionGroups(
  table: IdTable,
  groups: readonly { items: number; shown: readonly ShownItem[] }[],
): Html {
  return html`${groups.map(
    ({ items, shown }) =>
      html`<div class="strip"><div class="group"><strong>${count(items)} items</strong><code>${codesOf(table, shown[0].row)}</code></div><div class="found">${shown.map(item => itemCard(item))}${
        items > shown.length && html`<p class="rest">and ${count(items - shown.length)} more</p>`
      }</div></div>\n`,
  )}`
}

export function recallTable(recall: NonNullable<ReportInput['recall']>): Html {
  const row = (
    name: string,
    from: string,
    to: string,
    at: CrossModalRecall['recall'][number],
    value: number,
  ) => [
    { show: `${name}: ${from} → ${to}` },
    { show: at.k, value: at.k },
    { show: percent(value), value, bar: value },
    { show: percent(at.chance), value: at.chance },
    { show: at.chance > 0 ? `× ${(value / at.chance).toFixed(1)}` : '–', value: value / at.chance },
  ]
  return sortableTable(
    'Partners found',
    [
      { title: 'search', kind: 'text' },
      { title: 'k', hint: 'So many answers are looked at', kind: 'number' },
      { title: 'recall', hint: 'The partner is among them', kind: 'number' },
      { title: 'guessing', kind: 'number' },
      { title: 'better than guessing', kind: 'number' },
    ],
    recall.flatMap(({ name, from, to, result }) =>
      result.recall.flatMap(at => [row(name, from, to, at, at.aToB), row(name, to, from, at, at.bToA)]),
    ),
  )
}
