import { expectShape } from '@vq/core'
import type { Figure } from './figure.js'
import { renderChart } from './render.js'
import { palette, stepAxis } from './theme.js'

/** What was measured at one training step; absent figures are left out of the curves. */
export interface TrainingPoint {
  step: number
  /** What training minimises, where it has no parts. */
  loss?: number | undefined
  reconstructionLoss?: number | undefined
  vqLoss?: number | undefined
  klLoss?: number | undefined
  perplexity?: number | undefined
  /** On held-out images. */
  validationLoss?: number | undefined
  /** On held-out images, in dB. */
  validationPsnr?: number | undefined
}

/** A line of metrics.jsonl, as the history of `Trainer.fit` holds them. */
export interface MetricsLine {
  step: number
  split: 'train' | 'validation'
  [name: string]: number | string
}

export interface TrainingCurvesOptions {
  title?: string
  subtitle?: string
}

type Metric = Exclude<keyof TrainingPoint, 'step'>

const width = 640
const series: { metric: Metric; label: string; color: string; noisy: boolean }[] = [
  { metric: 'loss', label: 'loss', color: palette.blue, noisy: true },
  { metric: 'reconstructionLoss', label: 'reconstruction', color: palette.blue, noisy: true },
  { metric: 'vqLoss', label: 'commitment', color: palette.orange, noisy: true },
  { metric: 'klLoss', label: 'KL divergence', color: palette.purple, noisy: true },
  { metric: 'validationLoss', label: 'held out', color: palette.green, noisy: false },
]

function pointOf(at: TrainingPoint | MetricsLine): TrainingPoint {
  if (!('split' in at)) return at as TrainingPoint
  const value = (...names: string[]): number | undefined =>
    names.map(name => at[name]).find(v => typeof v === 'number')
  const { step } = at
  const reconstructionLoss = value('reconstructionLoss')
  const loss = value('loss')
  if (at.split === 'validation')
    return { step, validationLoss: reconstructionLoss ?? loss, validationPsnr: value('psnr') }
  const parts = { reconstructionLoss, vqLoss: value('vqLoss', 'rqLoss'), klLoss: value('klLoss') }
  const whole = reconstructionLoss === undefined ? { loss } : {}
  return { step, ...whole, ...parts, perplexity: value('perplexity') }
}

/**
 * Loss terms (logarithmic, unless one is negative), held-out PSNR and codebook perplexity over the training steps, one panel each as far as
 * measured: of points, or of the metrics in the history of `Trainer.fit`. Noisy curves are drawn faintly, with a moving average
 * over a fiftieth of the run on top.
 */
export function trainingCurves(
  measured: readonly (TrainingPoint | MetricsLine)[],
  options: TrainingCurvesOptions = {},
): Promise<Figure> {
  const { title = 'Training', subtitle } = options
  const history = measured.map(pointOf)
  expectShape(history.length > 0, 'trainingCurves', 'at least one step', 'an empty history', 'Train first.')
  const x = stepAxis
  const all = series.flatMap(s => history.map(p => p[s.metric])).filter(plottable)
  // A term that is 0 throughout has no place on a logarithmic axis; one that goes below makes the axis linear.
  const log = all.every(v => v >= 0)
  const losses = series.filter(s => history.some(p => plottable(p[s.metric]) && (!log || p[s.metric]! > 0)))
  const panels: object[] = []
  if (losses.length > 0) {
    const color = {
      field: 'label',
      type: 'nominal',
      scale: { domain: losses.map(s => s.label), range: losses.map(s => s.color) },
      legend: { title: null, orient: 'top', direction: 'horizontal', offset: 6 },
    } as const
    const y = {
      field: 'value',
      type: 'quantitative',
      title: log ? 'loss (log)' : 'loss',
      scale: log ? { type: 'log', nice: false } : { zero: false, nice: true },
      axis: { format: ',.5~g', tickCount: 6 },
    } as const
    const rows = losses.flatMap(s =>
      curve(history, s.metric, s.noisy, log).map((r, _, { length }) => ({
        ...r,
        label: s.label,
        noisy: s.noisy,
        // A line of one point is invisible.
        dot: !s.noisy || length === 1,
      })),
    )
    panels.push({
      width,
      height: 220,
      data: { values: rows },
      layer: [
        {
          transform: [{ filter: 'datum.noisy' }],
          mark: { type: 'line', strokeWidth: 1, opacity: 0.25 },
          encoding: { x, y, color },
        },
        { mark: { type: 'line', strokeWidth: 2 }, encoding: { x, y: { ...y, field: 'smooth' }, color } },
        {
          transform: [{ filter: 'datum.dot' }],
          mark: { type: 'point', filled: true, size: 28, opacity: 1 },
          encoding: { x, y, color },
        },
      ],
    })
  }
  const single = (metric: Metric, name: string, color: string, noisy: boolean, zero: boolean): void => {
    const values = curve(history, metric, noisy, false)
    if (values.length === 0) return
    const y = {
      field: 'value',
      type: 'quantitative',
      title: name,
      scale: { zero, nice: true },
      axis: { tickCount: 5, format: ',.2~f' },
    } as const
    panels.push({
      width,
      height: 130,
      data: { values },
      layer: [
        ...(noisy
          ? [{ mark: { type: 'line', strokeWidth: 1, opacity: 0.25, color }, encoding: { x, y } }]
          : []),
        { mark: { type: 'line', strokeWidth: 2, color }, encoding: { x, y: { ...y, field: 'smooth' } } },
        ...(noisy && values.length > 1
          ? []
          : [{ mark: { type: 'point', filled: true, size: 28, opacity: 1, color }, encoding: { x, y } }]),
      ],
    })
  }
  single('validationPsnr', 'held-out PSNR (dB)', palette.green, false, false)
  single('perplexity', 'perplexity (codes)', palette.purple, true, true)
  expectShape(
    panels.length > 0,
    'trainingCurves',
    'at least one finite measurement',
    `${history.length} steps without one`,
    'Pass losses, PSNR or perplexity, or the metrics of a history.',
  )
  return renderChart({
    title: { text: title, ...(subtitle !== undefined && { subtitle }) },
    spacing: 22,
    vconcat: panels,
  } as never)
}

interface CurveRow {
  step: number
  value: number
  smooth: number
}

// At most this many points a curve: more than the panel has pixels only makes the file large.
const mostPoints = 1500

function curve(
  history: readonly TrainingPoint[],
  metric: Metric,
  noisy: boolean,
  positive: boolean,
): CurveRow[] {
  const points = history.flatMap(p => {
    const value = p[metric]
    return plottable(value) && (!positive || value > 0) ? [{ step: p.step, value }] : []
  })
  const half = noisy ? Math.floor(points.length / 100) : 0
  const sums = new Float64Array(points.length + 1)
  for (const [i, p] of points.entries()) sums[i + 1] = sums[i]! + p.value
  const rows = points.map((p, i) => {
    const from = Math.max(0, i - half)
    const to = Math.min(points.length, i + half + 1)
    return { ...p, smooth: (sums[to]! - sums[from]!) / (to - from) }
  })
  const stride = Math.ceil(rows.length / mostPoints)
  return rows.filter((_, i) => i % stride === 0 || i === rows.length - 1)
}

function plottable(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value)
}
