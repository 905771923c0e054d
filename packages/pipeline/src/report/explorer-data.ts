import type { IdAnalysis, IdTable } from '../analysis/index.js'
import type { ShownItem } from './item-section.js'
import type { TreeNode } from './tree-data.js'

/** Codes of one level alone that the explorer lists. */
const mostOfLevel = 1500

/** What the page's script reads. */
export interface ExplorerData {
  items: number
  positions: number
  levels: number
  sizes: readonly number[]
  grid?: readonly [number, number]
  /** Names of the labels. */
  classes: readonly string[]
  tree: TreeNode
  /** Code and how often, of each level, the commonest first. */
  codes: number[][]
  sample: {
    ids: string[]
    /** [items, P, L] */
    codes: number[]
    /** Class, −1 where there is none. */
    labels: number[]
    pictures: number[]
    texts: string[]
  }
  pictures: readonly string[]
}

export function explorerData(
  table: IdTable,
  analysis: IdAnalysis,
  tree: TreeNode,
  shown: readonly ShownItem[],
  labels: Int32Array | undefined,
  pictures: readonly string[],
  grid: readonly [number, number] | undefined,
): ExplorerData {
  const width = table.positions * table.levels
  return {
    items: analysis.items,
    positions: table.positions,
    levels: table.levels,
    sizes: table.codebookSizes,
    ...(grid && { grid }),
    classes: analysis.labels?.classes ?? [],
    tree,
    codes: analysis.levels.map(({ chosen }) => {
      const order = Array.from(chosen.codes.keys()).sort(
        (a, b) => chosen.counts[b] - chosen.counts[a] || a - b,
      )
      return order.slice(0, mostOfLevel).flatMap(i => [chosen.codes[i], chosen.counts[i]])
    }),
    sample: {
      ids: shown.map(item => item.id),
      codes: shown.flatMap(({ row }) => Array.from(table.codes.subarray(row * width, (row + 1) * width))),
      labels: shown.map(({ row }) => labels?.[row] ?? -1),
      pictures: shown.map(item => item.picture),
      texts: shown.map(item => item.text),
    },
    pictures,
  }
}

/** The explorer's frame, which the script fills. */
export const explorerFrame = `<div id="explorer" class="explorer">
<div class="controls">
<div class="views" role="group" aria-label="Which codes"></div>
<label>Sort <select id="order"><option value="n">commonest first</option><option value="c">by number</option></select></label>
<label class="find">Find <input id="find" type="search" placeholder="in IDs and texts" autocomplete="off"></label>
</div>
<nav class="crumbs" aria-label="Chosen codes"></nav>
<p class="status" role="status" aria-live="polite"></p>
<div class="about"></div>
<div class="tiles" role="group" aria-label="Codes"></div>
<h3 class="items-title">Items</h3>
<div class="items"></div>
</div>
<dialog id="item" aria-label="Item"></dialog>`
