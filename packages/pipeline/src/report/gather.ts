import { expectInteger, Random } from '@vq/core'
import { neighborsById } from '../analysis/index.js'
import { classesOf } from '../analysis/labelled.js'
import { prefixOrder } from '../analysis/prefix-order.js'
import { unmasked } from '../analysis/vectors.js'
import { printable, shortened } from './html.js'
import type { ReportInput } from './input.js'
import type { NeighborRow, ShownItem } from './item-section.js'
import { sampleSize, shownRows } from './sample.js'
import { Thumbnails } from './thumbnails.js'
import { type TreeNode, treeNodes } from './tree-data.js'

const operation = 'writeReport'
/** Pictures may take so many bytes of the page, texts so many letters. */
const [pictureBytes, letters] = [3_300_000, 320]
/** Longer side of pictures in pixels, where there are many, and where not. */
const [pictureEdge, manyPictures, atOnce] = [[48, 64], 1500, 16]
const [queries, groupsShown, besidePictures, besideTexts] = [10, 8, 8, 6]

/** What of the items is shown, and where. */
export interface Gathered {
  classes: Int32Array | undefined
  tree: TreeNode
  tallies: Map<number, Float64Array>
  shown: ShownItem[]
  neighbors: NeighborRow[]
  collisions: { items: number; shown: ShownItem[] }[]
  reconstructions: { item: ShownItem; decoded: ShownItem }[]
  thumbnails: Thumbnails
}

/** Draws the samples, and asks for previews in the order in which they matter. */
export async function gather(input: ReportInput & { seed: number; sample: number }): Promise<Gathered> {
  const { table, analysis, preview, labels, seed } = input
  const most = sampleSize(table, input.sample)
  const edge = Math.min(most, table.ids.length) > manyPictures ? pictureEdge[0] : pictureEdge[1]
  const thumbnails = new Thumbnails({ edge, budget: pictureBytes, letters })
  const known = new Map<number, ShownItem>()
  const labelOf = (row: number): Pick<ShownItem, 'label'> =>
    labels === undefined ? {} : { label: printable(String(labels[row])) }
  // Pictures are made several at a time, and counted in order: the same input gives the same file.
  const all = async (rows: ArrayLike<number>): Promise<ShownItem[]> => {
    const wanted = [...new Set(Array.from(rows))].filter(row => !known.has(row))
    for (let from = 0; from < wanted.length; from += atOnce) {
      const part = wanted.slice(from, from + atOnce)
      const made = await Promise.all(
        part.map(async row => thumbnails.prepare(await preview?.(row, table.ids[row]))),
      )
      for (const [i, row] of part.entries()) {
        const id = printable(shortened(table.ids[row], 160))
        known.set(row, { row, id, ...labelOf(row), ...thumbnails.admit(made[i]) })
      }
    }
    return Array.from(rows, row => known.get(row)!)
  }
  const vectors = unmasked(table)
  const sorted = prefixOrder(vectors.codes, table.levels, table.codebookSizes)
  const classes = labels && classesOf(operation, labels, table.ids.length).values
  const ofVectors = classes && vectors.items.map(item => classes[item])
  const rows = shownRows(
    table,
    table.positions === 1 && vectors.items.length === table.ids.length ? sorted : undefined,
    most,
    seed,
  )
  // What must not be left out for want of room comes first.
  const neighbors: NeighborRow[] = []
  for (const row of new Random(seed).shuffle(rows.slice()).slice(0, queries).sort()) {
    const [query] = await all([row])
    const found = neighborsById(table, row, query.picture < 0 ? besideTexts : besidePictures)
    const items = await all(found.map(f => f.row))
    neighbors.push({ query, neighbors: found.map((f, i) => ({ item: items[i], found: f })) })
  }
  const collisions: Gathered['collisions'] = []
  for (const group of analysis.ids.collisions.examples.slice(0, groupsShown))
    collisions.push({ items: group.items, shown: await all(group.rows.slice(0, besideTexts)) })
  const reconstructions: Gathered['reconstructions'] = []
  for (const { row, decoded } of input.reconstructions?.slice(0, 48) ?? []) {
    expectInteger(operation, 'row of a reconstruction', row, 0, table.ids.length - 1)
    const [item] = await all([row])
    reconstructions.push({
      item,
      decoded: { ...item, ...thumbnails.admit(await thumbnails.prepare(decoded)) },
    })
  }
  // In no order: should there not be room for all pictures, every code has some.
  await all(new Random(seed).shuffle(rows.slice()))
  const shown = await all(rows)
  return {
    classes,
    tree: treeNodes(vectors.codes, sorted, ofVectors),
    tallies: talliesOf(vectors.codes, table.levels, ofVectors, analysis.labels?.classes.length ?? 0),
    shown,
    neighbors,
    collisions,
    reconstructions,
    thumbnails,
  }
}

function talliesOf(
  codes: Int32Array,
  levels: number,
  classes: Int32Array | undefined,
  size: number,
): Map<number, Float64Array> {
  const tallies = new Map<number, Float64Array>()
  for (const [i, label] of classes?.entries() ?? []) {
    const code = codes[i * levels]
    const tally = tallies.get(code) ?? new Float64Array(size)
    tally[label]++
    tallies.set(code, tally)
  }
  return tallies
}
