import { expectNumber, expectShape, VqValueError } from '@vq/core'
import { entropy, perplexity } from '../evaluate/codes.js'
import type { Figure } from './figure.js'
import { renderChart } from './render.js'
import { ink, palette } from './theme.js'

export interface CodebookUsageOptions {
  title?: string
  /** Of the axes, in SVG units, at least 100. Default 720 by 280. */
  width?: number
  height?: number
}

/** How often each code occurs, commonest first, beside what equal use would be. `counts` as of `codeCounts`. */
export function codebookUsage(
  counts: ArrayLike<number>,
  options: CodebookUsageOptions = {},
): Promise<Figure> {
  const { title = 'Codebook usage', width = 720, height = 280 } = options
  for (const size of [width, height]) expectNumber('codebookUsage', 'width and height', size, 100, 10_000)
  const bad = Array.from(counts).findIndex(c => !(c >= 0 && c < Infinity))
  if (bad >= 0)
    throw new VqValueError({
      operation: 'codebookUsage',
      expected: 'counts of at least 0',
      received: `${counts[bad]} for code ${bad}`,
      remedy: 'Pass codeCounts(indices, size).',
    })
  const total = Array.from(counts).reduce((sum, c) => sum + c, 0)
  expectShape(
    total > 0,
    'codebookUsage',
    'at least one code in use',
    'no counts',
    'Pass codeCounts(indices, size).',
  )
  const size = counts.length
  const shares = Array.from(counts, c => (100 * c) / total).sort((a, b) => b - a)
  const used = shares.filter(s => s > 0).length
  const subtitle = `${used} of ${size} codes used (${percent(used / size)}) · perplexity ${perplexity(counts).toFixed(1)} · ${entropy(counts).toFixed(2)} of ${Math.log2(size).toFixed(2)} bits · ${total.toLocaleString('en-US')} tokens`
  return renderChart({
    width,
    height,
    title: { text: title, subtitle },
    layer: [
      {
        data: { values: shares.map((share, rank) => ({ from: rank + 0.5, to: rank + 1.5, share })) },
        mark: { type: 'rect', color: palette.blue, stroke: '#ffffff', strokeWidth: size <= 300 ? 0.5 : 0 },
        encoding: {
          x: {
            field: 'from',
            type: 'quantitative',
            title: 'code, by rank',
            scale: { domain: [0.5, size + 0.5], nice: false, zero: false },
            axis: { tickMinStep: 1, format: ',d' },
          },
          x2: { field: 'to' },
          y: { field: 'share', type: 'quantitative', title: 'share of tokens (%)' },
          y2: { datum: 0 },
        },
      },
      {
        data: {
          values: [
            {
              equal: 100 / size,
              at: size + 0.5,
              label: `equal use: ${Number((100 / size).toPrecision(2))} %`,
            },
          ],
        },
        layer: [
          {
            mark: { type: 'rule', color: palette.orange, strokeDash: [5, 4], strokeWidth: 1.5 },
            encoding: { y: { field: 'equal', type: 'quantitative' } },
          },
          {
            mark: { type: 'text', align: 'right', dx: -4, dy: -8, fontSize: 11, color: ink.text },
            encoding: {
              x: { field: 'at', type: 'quantitative' },
              y: { field: 'equal', type: 'quantitative' },
              text: { field: 'label' },
            },
          },
        ],
      },
    ],
  })
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share === 1 ? 0 : 1)} %`
}
