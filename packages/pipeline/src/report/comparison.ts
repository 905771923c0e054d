import { expectConfig, expectNumber, expectShape } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { rateDistortion } from '@vq/models/evaluate'
import { type Figure, sensitivity } from '@vq/models/plot'
import { inline } from './figures.js'
import { count, figure, type Html, html } from './html.js'
import { pageOf } from './page.js'
import { sortableTable } from './tables.js'

/** One trained encoder and method. */
export interface ComparedRun {
  /** Of its own. */
  name: string
  /** Runs of one series, such as of one method at several sizes, are joined by a line. Default: no line. */
  series?: string
  /** Size of an item's ID in bits. */
  bits: number
  /** Figures by name, such as { mse: 0.02, nmi: 0.31 }; a run may lack some, or have NaN where it failed. */
  metrics: Readonly<Record<string, number>>
}

export interface Metric {
  /** Its key in `metrics`. */
  name: string
  /** What tables and axes call it, with its unit. Default: the name. */
  title?: string
  better: 'higher' | 'lower'
}

export interface ComparisonInput {
  title: string
  subtitle?: string
  about?: readonly { name: string; value: string | number }[]
  runs: readonly ComparedRun[]
  /** The first one is drawn against the size. */
  metrics: readonly [Metric, ...Metric[]]
}

/**
 * The runs that no other beats in both size and quality: the lower convex hull of size against error is among them, and
 * those between its corners too. Runs without the metric are not among them.
 */
export function bestRuns(runs: readonly ComparedRun[], { name, better }: Metric): ComparedRun[] {
  const points = runs
    .map(run => ({ run, bits: run.bits, error: better === 'lower' ? run.metrics[name] : -run.metrics[name] }))
    .filter(({ error }) => Number.isFinite(error))
  if (points.length === 0) return []
  let least = Number.POSITIVE_INFINITY
  return rateDistortion(points)
    .curve.filter(({ error }) => {
      const good = error < least
      least = Math.min(least, error)
      return good
    })
    .map(({ run }) => run)
}

/** Size against quality of runs, one point each. Throws VqConfigError, and VqShapeError where no run has the metric. */
export function comparisonFigure(
  runs: readonly ComparedRun[],
  metric: Metric,
  options: { title?: string } = {},
): Promise<Figure> {
  expectRuns('comparisonFigure', runs)
  const { name, title = name, better } = metric
  return sensitivity(
    runs.map(run => ({
      value: run.bits,
      result: run.metrics[name] ?? Number.NaN,
      series: run.series ?? run.name,
    })),
    {
      parameter: 'bits of an item',
      result: title,
      title: options.title ?? `Size against ${title}`,
      subtitle: `${better} is better, and further left is smaller`,
    },
  )
}

/** The runs as a table in Markdown, the best of each column in bold. */
export function comparisonMarkdown(runs: readonly ComparedRun[], metrics: readonly Metric[]): string {
  expectRuns('comparisonMarkdown', runs)
  const cell = (text: string): string => text.replace(/[\r\n]+/g, ' ').replace(/\|/g, '\\|')
  const best = metrics.map(metric => bestValue(runs, metric))
  const head = ['run', 'bits', ...metrics.map(({ name, title = name }) => title)]
  const rows = runs.map(run => [
    run.name,
    figure(run.bits, 4),
    ...metrics.map(({ name }, i) => {
      const value = run.metrics[name] ?? Number.NaN
      return value === best[i] ? `**${figure(value)}**` : figure(value)
    }),
  ])
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |\n`
  return `${line(head)}|${head.map((_, i) => (i === 0 ? ' --- |' : ' ---: |')).join('')}\n${rows.map(line).join('')}`
}

/** One HTML file with the table and a figure of every metric, as self-contained as a report. Written whole or not at all. */
export async function writeComparison(file: string, input: ComparisonInput): Promise<void> {
  const { title, subtitle, about = [], runs, metrics } = input ?? {}
  const operation = 'writeComparison'
  expectRuns(operation, runs)
  expectConfig(metrics?.length > 0, operation, 'at least one metric', metrics, 'Name what was measured.')
  const plots: Html[] = []
  for (const [i, metric] of metrics.entries()) {
    if (!runs.some(run => Number.isFinite(run.metrics[metric.name]))) continue
    const of = metric.title ?? metric.name
    const caption = `${of} of ${count(runs.length)} runs by the size of an item’s ID; ${metric.better} is better.`
    plots.push(inline(await comparisonFigure(runs, metric), caption, `metric${i}`))
  }
  const page = await pageOf({
    title,
    head: html`<h1 dir="auto">${title}</h1>${subtitle !== undefined && html`<p class="subtitle" dir="auto">${subtitle}</p>`}${
      about.length > 0 &&
      html`<dl class="about-list">${about.map(({ name, value }) => html`<div><dt>${name}</dt><dd dir="auto">${value}</dd></div>`)}</dl>`
    }`,
    sections: [
      {
        id: 'runs',
        title: 'Runs',
        lead: 'A star marks runs that no other beats in both size and the first figure.',
        body: comparisonTable(runs, metrics),
      },
      {
        id: 'figures',
        title: 'Size against quality',
        body: html`<div class="plots">${plots}</div>`,
      },
    ],
    foot: html`<p>Written by VQ. This file is complete: it loads nothing.</p>`,
  })
  await writeFileAtomic(file, page)
}

function comparisonTable(runs: readonly ComparedRun[], metrics: readonly [Metric, ...Metric[]]): Html {
  const good = new Set(bestRuns(runs, metrics[0]))
  const best = metrics.map(metric => bestValue(runs, metric))
  return sortableTable(
    'Runs',
    [
      { title: 'run', kind: 'text' },
      { title: 'bits', hint: 'Size of an item’s ID', kind: 'number' },
      ...metrics.map(({ name, title = name, better }) => ({
        title,
        hint: `${better} is better`,
        kind: 'number' as const,
      })),
    ],
    runs.map(run => [
      {
        show: html`${run.name}${good.has(run) && html` <span title="no other is better in both">★</span>`}`,
        value: run.name,
      },
      { show: figure(run.bits, 4), value: run.bits },
      ...metrics.map(({ name, better }, i) => {
        const value = run.metrics[name] ?? Number.NaN
        // What is missing stands last.
        const last = better === 'higher' ? '-1e308' : '1e308'
        const shown = figure(value)
        return {
          show: value === best[i] ? html`<strong>${shown}</strong>` : shown,
          value: Number.isFinite(value) ? value : last,
        }
      }),
    ]),
  )
}

function bestValue(runs: readonly ComparedRun[], { name, better }: Metric): number | undefined {
  const values = runs.map(run => run.metrics[name]).filter(value => Number.isFinite(value))
  if (values.length === 0) return undefined
  return better === 'higher' ? Math.max(...values) : Math.min(...values)
}

function expectRuns(operation: string, runs: readonly ComparedRun[]): void {
  expectShape(
    Array.isArray(runs) && runs.length > 0,
    operation,
    'at least one run',
    'none',
    'Pass { name, bits, metrics } of each.',
  )
  for (const run of runs) expectNumber(operation, `bits of ${run.name}`, run.bits, 0, Number.MAX_VALUE)
  expectConfig(
    new Set(runs.map(run => run.name)).size === runs.length,
    operation,
    'runs of different names',
    runs.map(run => run.name),
    'Name each run by what it differs in.',
  )
}
