import { expectConfig, expectShape, VqValueError } from '@vq/core'
import type { Figure } from './figure.js'
import { axisTitle, renderChart } from './render.js'
import { textWidth } from './text.js'
import { categories, stepAxis } from './theme.js'

export interface SensitivityPoint {
  /** The parameter's value: a number, or a name such as of a method. */
  value: number | string
  /** What came out. Several points of one value, such as of several seeds, are drawn with their mean and range. */
  result: number
  /** Several parameters or methods in one figure. */
  series?: string
}

export interface SensitivityOptions {
  /** Name of the parameter, with its unit. */
  parameter: string
  /** Name of the result, with its unit. */
  result: string
  /** Of the parameter. Default 'log' where it spans more than a factor of 30. */
  scale?: 'linear' | 'log'
  title?: string
  subtitle?: string
}

const [width, height] = [640, 320]

/** A result against a parameter: every measurement, the means joined, and the range of repeats as a band. */
export function sensitivity(
  points: readonly SensitivityPoint[],
  options: SensitivityOptions,
): Promise<Figure> {
  const { parameter, result, title = `${result} by ${parameter}`, subtitle } = options
  const rows = points
    .map(({ value, result, series = '' }) => ({ value, result, series }))
    .filter(row => Number.isFinite(row.result))
  expectShape(
    rows.length > 0,
    'sensitivity',
    'at least one finite result',
    `${points.length} points`,
    'Measure first.',
  )
  const named = rows.some(row => typeof row.value === 'string')
  const values = rows.map(row => Number(row.value))
  const [least, largest] = [Math.min(...values), Math.max(...values)]
  const scale = options.scale ?? (!named && least > 0 && largest / least > 30 ? 'log' : 'linear')
  if (!named && !values.every(v => Number.isFinite(v) && (scale === 'linear' || v > 0)))
    throw new VqValueError({
      operation: 'sensitivity',
      expected: `finite values of the parameter${scale === 'log' ? ', above 0 on a logarithmic scale' : ''}`,
      received: String(values.find(v => !(Number.isFinite(v) && (scale === 'linear' || v > 0)))),
      remedy: 'Leave it out, or pass names: strings.',
    })
  const measured = [...new Set(values)].sort((a, b) => a - b)
  const x = named
    ? {
        field: 'value',
        type: 'nominal',
        title: axisTitle(parameter, width),
        sort: null,
        axis: namesAxis(rows),
      }
    : {
        field: 'value',
        type: 'quantitative',
        title: axisTitle(parameter, width),
        scale: { type: scale, nice: false, padding: 14, ...(scale === 'linear' && { zero: false }) },
        // The values that were measured, as long as there is room for their names.
        axis:
          measured.length <= 12
            ? { values: measured, format: '~g', labelOverlap: 'greedy' }
            : { format: ',.9~g', tickCount: 8 },
      }
  const resultTitle = axisTitle(result, height)
  const y = {
    type: 'quantitative',
    title: resultTitle,
    scale: { zero: false, nice: true },
    axis: { tickCount: 6, format: ',.12~g' },
  }
  // Where no lines join the values, the legend shows points.
  const single =
    new Set(rows.map(row => `${row.series}\n${row.value}`)).size === new Set(rows.map(row => row.series)).size
  const color = colorOf(
    rows.map(row => row.series),
    named || single ? { symbolType: 'circle', symbolSize: 80 } : {},
  )
  // Beside each other, so that none hides another of the same result.
  const beside = named && new Set(rows.map(row => row.series)).size > 1 ? { xOffset: offsetOf(rows) } : {}
  const several = rows.length > new Set(rows.map(row => `${row.series}\n${row.value}`)).size
  const layer: object[] = []
  if (several && !named)
    layer.push({
      transform: [
        {
          aggregate: [
            { op: 'min', field: 'result', as: 'low' },
            { op: 'max', field: 'result', as: 'high' },
          ],
          groupby: ['value', 'series'],
        },
      ],
      mark: { type: 'area', opacity: 0.16 },
      encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
    })
  if (!named)
    layer.push({
      mark: { type: 'line', strokeWidth: 2 },
      encoding: { x, y: { ...y, field: 'result', aggregate: 'mean', title: resultTitle }, color },
    })
  layer.push({
    mark: { type: 'point', filled: true, size: 42, opacity: several ? 0.6 : 1 },
    encoding: { x, y: { ...y, field: 'result' }, color, ...beside },
  })
  if (named && several)
    layer.push({
      mark: { type: 'tick', thickness: 2.5, size: tickWidth(rows) },
      encoding: {
        x,
        y: { ...y, field: 'result', aggregate: 'mean', title: resultTitle },
        color,
        ...beside,
      },
    })
  return renderChart({
    width,
    height,
    data: { values: rows },
    title: { text: title, ...(subtitle !== undefined && { subtitle }) },
    layer,
  } as never)
}

function offsetOf(rows: readonly { series: string }[]): object {
  const domain = [...new Set(rows.map(row => row.series))]
  return { field: 'series', type: 'nominal', sort: null, scale: { domain, type: 'point', padding: 1.2 } }
}

// Of the mean of repeats: as wide as there is room for each series above each name.
function tickWidth(rows: readonly { value: number | string; series: string }[]): number {
  const [names, series] = [
    new Set(rows.map(row => row.value)).size,
    new Set(rows.map(row => row.series)).size,
  ]
  return Math.min(30, (0.5 * width) / (names * (series + 1)))
}

// Names side by side where they fit, else slanting.
function namesAxis(rows: readonly { value: number | string }[]): object {
  const names = new Set(rows.map(row => String(row.value)))
  const room = width / names.size - 6
  const fit = [...names].every(name => textWidth(name) <= room)
  return fit ? { labelAngle: 0, labelLimit: width } : { labelAngle: -35, labelLimit: 320 }
}

export interface Run {
  name: string
  points: readonly { step: number; value: number }[]
}

export interface ConvergenceOptions {
  /** What was measured, with its unit. */
  metric: string
  /** Default 'log' where all is positive and spans more than a factor of 30. */
  scale?: 'linear' | 'log'
  /** What a step is. Default 'training step'. */
  step?: string
  title?: string
  subtitle?: string
}

// More points than the panel has pixels only make the file large.
const mostPoints = 1500

/** One figure of several runs over their training steps, such as of several methods. */
export function convergence(runs: readonly Run[], options: ConvergenceOptions): Promise<Figure> {
  const { metric, step = 'training step', subtitle } = options
  const { title = `${metric} of ${runs.length === 1 ? 'one run' : `${runs.length} runs`}` } = options
  expectConfig(
    new Set(runs.map(run => run.name)).size === runs.length,
    'convergence',
    'runs of different names',
    runs.map(run => run.name),
    'Name each run, such as by its seed.',
  )
  const rows = runs.flatMap(({ name, points }) => {
    const finite = points.filter(p => Number.isFinite(p.step) && Number.isFinite(p.value))
    const stride = Math.ceil(finite.length / mostPoints)
    return finite
      .filter((_, i) => i % stride === 0 || i === finite.length - 1)
      .map(({ step, value }) => ({ step, value, run: name }))
  })
  expectShape(
    rows.length > 0,
    'convergence',
    'runs with finite values',
    `${runs.length} runs`,
    'Train first.',
  )
  const values = rows.map(row => row.value)
  const [least, largest] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
  const scale = options.scale ?? (least > 0 && largest / least > 30 ? 'log' : 'linear')
  const shown = scale === 'log' ? rows.filter(row => row.value > 0) : rows
  expectShape(
    shown.length > 0,
    'convergence',
    'values above 0 on a logarithmic scale',
    'none',
    "Choose scale 'linear'.",
  )
  // A line of one point is invisible.
  const lonely = runs.some(run => shown.filter(row => row.run === run.name).length === 1)
  const encoding = {
    x: { ...stepAxis, title: step },
    y: {
      field: 'value',
      type: 'quantitative',
      title: axisTitle(scale === 'log' ? `${metric} (log)` : metric, height),
      scale: { type: scale, nice: true, ...(scale === 'linear' && { zero: false }) },
      axis: { tickCount: 6, format: ',.9~g' },
    },
    color: colorOf(runs.map(run => run.name)),
    // Dashes tell runs apart where colours do not.
    strokeDash: {
      field: 'run',
      type: 'nominal',
      scale: { domain: runs.map(r => r.name), range: runs.map((_, i) => dashes[i % dashes.length]) },
      legend: legendOf(runs.map(run => run.name)),
    },
  }
  const color = { ...encoding.color, field: 'run' }
  return renderChart({
    width,
    height,
    data: { values: shown },
    title: { text: title, ...(subtitle !== undefined && { subtitle }) },
    mark: { type: 'line', strokeWidth: 2, ...(lonely && { point: { size: 28, filled: true } }) },
    encoding: { ...encoding, color },
  } as never)
}

const dashes = [
  [1, 0],
  [7, 3],
  [2, 2],
  [9, 3, 2, 3],
]

function legendOf(names: readonly string[]): object | null {
  if (new Set(names).size < 2) return null
  // As many beside each other as the chart is wide.
  const widest = Math.max(...names.map(name => textWidth(name, 12)))
  const columns = Math.min(6, Math.max(1, Math.floor(width / (widest + 50))))
  return { title: null, orient: 'top', direction: 'horizontal', offset: 6, columns }
}

function colorOf(names: readonly string[], symbols: object = {}): object {
  const domain = [...new Set(names)]
  const range = domain.map((_, i) => categories[i % categories.length])
  const legend = legendOf(domain)
  return {
    field: 'series',
    type: 'nominal',
    scale: { domain, range },
    legend: legend && { ...legend, ...symbols },
  }
}
