import { expectConfig, expectInteger, expectShape } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { expectTable } from '../analysis/table.js'
import { explorerData } from './explorer-data.js'
import { gather } from './gather.js'
import type { ReportInput, ReportSummary } from './input.js'
import { pageOf } from './page.js'
import { footOf, headOf, sectionsOf } from './sections.js'

const operation = 'writeReport'

/**
 * Writes one HTML file about semantic IDs that needs nothing else: figures, sortable tables, and an explorer in which a code
 * shows its items. It loads nothing (a Content-Security-Policy sees to that) and works from a disk. What comes from data is
 * escaped. Of more than `sample` items (4,000) the explorer has a part, as evenly from the first-level codes as there are
 * items; pictures are at most 64 pixels (48 where there are over 1,500), each stored once, 3.3 MB together; figures are always of all items.
 *
 * The file appears whole or not at all. Throws VqConfigError and VqShapeError for input that does not fit, and what `preview`
 * throws; previews that cannot be read are counted.
 */
export async function writeReport(file: string, input: ReportInput): Promise<ReportSummary> {
  const { table, analysis, seed = 0, sample = 4000, labels } = input ?? {}
  const n = expectTable(operation, table)
  expectShape(
    analysis?.items === n && analysis.levels.length === table.levels,
    operation,
    `an analysis of ${n} items and ${table.levels} levels`,
    `${analysis?.items ?? 'no'} items and ${analysis?.levels?.length ?? 'no'} levels`,
    'Pass analyzeIds of the same table.',
  )
  expectConfig(
    (labels === undefined) === (analysis.labels === undefined),
    operation,
    'labels here and in analyzeIds, or in neither',
    labels,
    'Pass the same labels to both.',
  )
  expectInteger(operation, 'sample', sample, 1, 20_000)
  expectInteger(operation, 'seed', seed, 0)
  const gathered = await gather({ ...input, seed, sample })
  const page = await pageOf({
    title: input.title,
    head: headOf(input),
    sections: await sectionsOf(input, gathered),
    data: explorerData(
      table,
      analysis,
      gathered.tree,
      gathered.shown,
      gathered.classes,
      gathered.thumbnails.pictures,
      input.grid,
    ),
    foot: footOf(input, gathered),
  })
  const bytes = Buffer.from(page)
  await writeFileAtomic(file, bytes)
  const { pictures, unreadable, leftOut } = gathered.thumbnails
  return { bytes: bytes.length, items: gathered.shown.length, pictures: pictures.length, unreadable, leftOut }
}
