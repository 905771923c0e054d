import { keyFigures } from './cards.js'
import { explorerFrame } from './explorer-data.js'
import { projectionFigures, rateFigure, trainingFigures, usageFigures } from './figures.js'
import type { Gathered } from './gather.js'
import { count, type Html, html, raw, shortened } from './html.js'
import type { ReportInput } from './input.js'
import { collisionGroups, itemCard, neighborRows, recallTable } from './item-section.js'
import { agreementTable, classTable } from './label-section.js'
import { codeTable, dependenceTable, levelTable, prefixTable, treeTable } from './level-section.js'
import type { Section } from './page.js'
import { sortableTable } from './tables.js'

export function headOf({ title, subtitle, about = [] }: ReportInput): Html {
  return html`<h1 dir="auto">${title}</h1>${subtitle !== undefined && html`<p class="subtitle" dir="auto">${subtitle}</p>`}${
    about.length > 0 &&
    html`<dl class="about-list">${about.map(({ name, value }) => html`<div><dt>${name}</dt><dd dir="auto">${value}</dd></div>`)}</dl>`
  }`
}

export async function sectionsOf(input: ReportInput, gathered: Gathered): Promise<Section[]> {
  const { analysis, table } = input
  const codebooks = input.codebooks === undefined ? [] : await projectionFigures(analysis, input.codebooks)
  const sections: (Section | undefined)[] = [
    { id: 'overview', title: 'Key figures', body: keyFigures(input) },
    {
      id: 'explorer-section',
      title: 'Explore the codes',
      lead: explorerLead(input, gathered.shown.length),
      body: raw(explorerFrame),
    },
    {
      id: 'levels',
      title: 'Levels',
      lead: 'Every level has a codebook of its own. A good one uses its codes about equally; a code that never occurs is wasted.',
      body: html`${levelTable(analysis)}${plotsOf(await usageFigures(analysis), codebooks)}`,
    },
    {
      id: 'tree',
      title: 'Codes and prefixes',
      lead: 'IDs that begin alike belong together: the first code is the coarse group, each further one divides it. Where levels repeat each other, bits are spent twice.',
      body: html`${treeTable(analysis)}<div class="side">${codeTable(analysis)}${prefixTable(analysis, gathered.tree)}${dependenceTable(analysis)}</div>`,
    },
    labelSection(input, gathered),
    {
      id: 'neighbors',
      title: 'Nearest by ID',
      lead: 'An item, and those whose IDs are nearest: first by the codes shared from the start, then by the codes that differ.',
      body: neighborRows(table, gathered.neighbors),
    },
    collisionSection(input, gathered),
    input.recall && input.recall.length > 0
      ? {
          id: 'recall',
          title: 'Cross-modal recall',
          lead: `Each item looks for its partner among ${count(input.recall[0].result.pairs)} of the other kind. Items at the same distance are taken in random order.`,
          body: recallTable(input.recall),
        }
      : undefined,
    gathered.reconstructions.length > 0
      ? {
          id: 'reconstructions',
          title: 'Decoded from codes',
          lead: 'Items beside what their codes alone decode to.',
          body: html`<div class="pairs">${gathered.reconstructions.map(
            ({ item, decoded }) =>
              html`<div class="pair">${itemCard(item)}${itemCard(decoded, 'decoded')}</div>`,
          )}</div>`,
        }
      : undefined,
    await trainingSection(input),
    skippedSection(input),
  ]
  return sections.filter(section => section !== undefined)
}

function explorerLead({ analysis }: ReportInput, shown: number): string {
  const of =
    shown === analysis.items
      ? `All ${count(shown)} items are here.`
      : `The counts are of all items; ${count(shown)} of ${count(analysis.items)} can be seen here.`
  const next = analysis.levels.length > 1 ? ' and the codes that follow it' : ''
  return `Choose a code to see its items${next}. ${of} Click an item for its whole ID and those nearest to it.`
}

// Kinds in rows of their own, unless there is one of each.
function plotsOf(...kinds: Html[][]): Html {
  const rows = kinds.every(plots => plots.length < 2) ? [kinds.flat()] : kinds
  return html`${rows.filter(plots => plots.length > 0).map(plots => html`<div class="plots">${plots}</div>`)}`
}

async function trainingSection({ metrics = [], rates }: ReportInput): Promise<Section | undefined> {
  const plots = await trainingFigures(metrics)
  if (rates && rates.points.length > 0) plots.push(await rateFigure(rates))
  if (plots.length === 0) return undefined
  return { id: 'training', title: 'Training and size', body: html`<div class="plots">${plots}</div>` }
}

function labelSection(
  { analysis: { labels } }: ReportInput,
  { tree, tallies }: Gathered,
): Section | undefined {
  if (labels === undefined) return undefined
  return {
    id: 'labels',
    title: 'Codes and labels',
    lead: 'Purity and NMI grow by themselves with the number of groups: compare rows with as many groups.',
    body: html`${agreementTable(labels)}${classTable(labels, tree, tallies)}`,
  }
}

function collisionSection({ analysis, table }: ReportInput, { collisions }: Gathered): Section {
  const { ids, largest, histogram, rate } = analysis.ids.collisions
  const shared = histogram.filter(({ items }) => items > 1)
  const sizes = sortableTable(
    'How many IDs are shared by how many items',
    [
      { title: 'items', kind: 'number' },
      { title: 'IDs', kind: 'number' },
    ],
    shared.slice(0, 200).map(({ items, ids }) => [
      { show: count(items), value: items },
      { show: count(ids), value: ids },
    ]),
    { tall: shared.length > 12 },
  )
  return {
    id: 'collisions',
    title: 'Shared IDs',
    lead:
      rate === 0
        ? 'No two items share an ID.'
        : `${count(ids)} IDs belong to more than one item, one of them to ${count(largest)}. Items that are alike may well share one; where they are not, more codes or levels tell them apart.`,
    body: rate === 0 ? html`` : html`${collisionGroups(table, collisions)}${sizes}`,
  }
}

function skippedSection({ skipped }: ReportInput): Section | undefined {
  if (skipped === undefined || skipped.count === 0) return undefined
  const examples = skipped.examples?.slice(0, 200) ?? []
  return {
    id: 'skipped',
    title: 'Skipped items',
    lead: `${count(skipped.count)} could not be encoded${examples.length < skipped.count ? `; ${count(examples.length)} of them` : ''}.`,
    body: sortableTable(
      'Skipped items',
      [
        { title: 'item', kind: 'text' },
        { title: 'reason', kind: 'text' },
      ],
      examples.map(({ id, reason }) => [{ show: shortened(id, 200) }, { show: shortened(reason, 300) }]),
      { tall: examples.length > 12 },
    ),
  }
}

export function footOf({ analysis }: ReportInput, { thumbnails, shown }: Gathered): Html {
  const { unreadable, leftOut } = thumbnails
  const notes = [
    `${count(shown.length)} of ${count(analysis.items)} items can be looked at; all figures are of all items unless they name a sample.`,
    unreadable > 0 && `${count(unreadable)} pictures could not be read.`,
    leftOut > 0 && `${count(leftOut)} pictures were left out to keep this file small.`,
  ]
  return html`<p>${notes.filter(note => note !== false).join(' ')}</p><p>Written by VQ. This file is complete: it loads nothing.</p>`
}
