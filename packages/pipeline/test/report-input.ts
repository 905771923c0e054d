import { Random } from '@vq/core'
import { analyzeIds, crossModalRecall, type IdTable, type Preview, type ReportInput } from '@vq/pipeline'
import sharp from 'sharp'

export const evil = `</script><img src="x" onerror="window.hacked = 1"><b>&amp; "quoted" 'too'`

/** 60 items of 2 levels × 8 codes and two classes: pictures of one colour, or texts, of which two try to be markup. */
export async function smallReport(kind: 'image' | 'text'): Promise<ReportInput & { table: IdTable }> {
  const n = 60
  const random = new Random(4)
  const codes = new Int32Array(2 * n)
  // First codes 0, 1, 2 … of 20, 15, 10, 8, 5, 2 items.
  const sizes = [20, 15, 10, 8, 5, 2]
  const first = sizes.flatMap((size, code) => new Array<number>(size).fill(code))
  for (let i = 0; i < n; i++) codes.set([first[i], random.integer(3)], 2 * i)
  const ids = first.map((code, i) => (i === 7 ? evil : `group${code}/item${i}.png`))
  const table: IdTable = { ids, codes, positions: 1, levels: 2, codebookSizes: [8, 8] }
  const labels = first.map((code, i) => (i === 3 ? 'odd <b>label' : code < 2 ? 'early' : 'late'))
  const values = random.fillNormal(new Float32Array(4 * n))
  const colors = await Promise.all(
    Array.from({ length: n }, (_, i) =>
      sharp({
        create: { width: 40, height: 30, channels: 3, background: { r: 4 * i, g: 40 * first[i], b: 90 } },
      })
        .png()
        .toBuffer(),
    ),
  )
  const subjects = ['rain and wind', 'goals and matches', 'shares and banks', 'stars', 'films', 'bread']
  const preview = (row: number): Preview =>
    kind === 'image'
      ? { kind, bytes: colors[row], ...(row === 7 && { caption: evil }) }
      : { kind, text: row === 7 ? evil : `Number ${row} is about ${subjects[first[row]]}.` }
  return {
    title: `A report ${evil}`,
    subtitle: 'Of 60 items',
    about: [{ name: 'source', value: evil }],
    table,
    labels,
    analysis: analyzeIds(table, { labels, embeddings: { values, dim: 4 }, decoded: { values, dim: 4 } }),
    preview,
    skipped: { count: 2, examples: [{ id: evil, reason: 'not a picture' }] },
    codebooks: { values: [values.slice(0, 16), values.slice(16, 32)], dim: 2 },
    metrics: [
      { step: 1, loss: 2, perplexity: 3 },
      { step: 2, loss: 1, perplexity: 5 },
    ],
    rates: {
      points: [
        { bits: 3, error: 1 },
        { bits: 6, error: 0.5 },
      ],
    },
    recall: [{ name: 'codes', from: 'pictures', to: 'texts', result: crossModalRecall(table, table) }],
    reconstructions: [{ row: 0, decoded: preview(1) }],
  }
}
