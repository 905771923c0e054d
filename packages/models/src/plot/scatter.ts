import { expectConfig, expectNumber, expectShape } from '@vq/core'
import type { Figure } from './figure.js'
import { principalComponents } from './project.js'
import { renderChart } from './render.js'
import { categories, counted, ink, palette, shapes } from './theme.js'

export interface LatentScatterOptions {
  /** Length of a latent vector. */
  dim: number
  /** A name per vector: its class. */
  labels?: ArrayLike<number | string>
  title?: string
  subtitle?: string
}

const [width, height] = [560, 480]
// More points only make the file large.
const mostPoints = 4000

/**
 * Latent vectors [N, dim] in the plane, by their first two principal components where they have more than two numbers, with a
 * colour, a shape and a name per class. Of more than 4,000 vectors evenly many are left out.
 */
export function latentScatter(latents: Float32Array, options: LatentScatterOptions): Promise<Figure> {
  const { dim, labels, title = 'Latent space', subtitle } = options
  const { points, shares } = principalComponents('latentScatter', latents, dim, 2)
  const count = points.length / 2
  expectShape(
    labels === undefined || labels.length === count,
    'latentScatter',
    `${count} labels`,
    `${labels?.length}`,
    'Pass one per vector.',
  )
  const names = [...new Set(Array.from(labels ?? [], String))].sort((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  )
  expectConfig(
    names.length <= 20,
    'latentScatter',
    'at most 20 classes',
    names.length,
    'Join classes, or leave some out.',
  )
  const stride = Math.ceil(count / mostPoints)
  const rows = Array.from({ length: Math.ceil(count / stride) }, (_, j) => {
    const i = j * stride
    return { x: points[2 * i], y: points[2 * i + 1], class: labels === undefined ? '' : String(labels[i]) }
  })
  const means = names.map(name => {
    const own = rows.filter(row => row.class === name)
    const mean = (of: 'x' | 'y'): number => own.reduce((sum, row) => sum + row[of], 0) / own.length
    return { class: name, x: mean('x'), y: mean('y') }
  })
  const encoding = axes(shares, 'latent')
  const scale = { domain: names, range: names.map((_, i) => categories[i % categories.length]) }
  const shape = { domain: names, range: names.map((_, i) => shapes[i % shapes.length]) }
  const legend = { title: null, symbolType: 'circle', symbolSize: 60, columns: names.length > 12 ? 2 : 1 }
  const classes =
    names.length === 0
      ? { color: { value: palette.blue } }
      : {
          color: { field: 'class', type: 'nominal', scale, legend },
          shape: { field: 'class', type: 'nominal', scale: shape, legend },
        }
  const layer: object[] = [
    {
      data: { values: rows },
      mark: { type: 'point', filled: true, size: rows.length > 1500 ? 14 : 28, opacity: 0.65 },
      encoding: { ...encoding, ...classes },
    },
  ]
  // Each name at the middle of its class, on a white rim.
  for (const rim of [true, false])
    layer.push({
      data: { values: means },
      mark: {
        type: 'text',
        fontSize: 14,
        limit: 160,
        ...(rim ? { stroke: '#ffffff', strokeWidth: 4, strokeJoin: 'round' } : {}),
        color: ink.title,
      },
      encoding: { ...encoding, text: { field: 'class' } },
    })
  return renderChart({
    width,
    height,
    title: { text: title, subtitle: subtitle ?? `${counted(count, 'vector')} of ${dim}` },
    layer,
  } as never)
}

export interface CodebookProjectionOptions {
  /** Length of a code. */
  dim: number
  /** How often each code was chosen, [K]: larger dots; unused codes are hollow. */
  counts?: ArrayLike<number>
  /** Vectors [N, dim] that the codes stand for, drawn faintly behind them. */
  vectors?: Float32Array
  title?: string
  subtitle?: string
  /** Of the axes, in SVG units, at least 100. Default 560 by 480. */
  width?: number
  height?: number
}

/** A codebook [K, dim] in the plane of its first two principal components. */
export function codebookProjection(
  codebook: Float32Array,
  options: CodebookProjectionOptions,
): Promise<Figure> {
  const { dim, counts, vectors = new Float32Array(0), title = 'Codebook', subtitle } = options
  const edges = { width: options.width ?? width, height: options.height ?? height }
  for (const edge of Object.values(edges))
    expectNumber('codebookProjection', 'width and height', edge, 100, 10_000)
  const { points, shares, apply } = principalComponents('codebookProjection', codebook, dim, 2)
  const size = points.length / 2
  expectShape(
    counts === undefined || counts.length === size,
    'codebookProjection',
    `${size} counts`,
    `${counts?.length}`,
    'Pass codeCounts(indices, K).',
  )
  const codes = Array.from({ length: size }, (_, k) => {
    const count = counts === undefined ? 1 : counts[k]
    return { x: points[2 * k], y: points[2 * k + 1], count, state: count > 0 ? 'used' : 'never chosen' }
  })
  const used = codes.filter(code => code.count > 0)
  const behind = apply(vectors)
  const stride = Math.ceil(behind.length / 2 / mostPoints)
  const faint = Array.from({ length: Math.floor(behind.length / 2 / Math.max(1, stride)) }, (_, i) => ({
    x: behind[2 * i * stride],
    y: behind[2 * i * stride + 1],
  }))
  const encoding = axes(shares, 'code')
  const area = {
    field: 'count',
    type: 'quantitative',
    // Smaller where there are many, which would hide each other.
    scale: { type: 'sqrt', range: size > 300 ? [4, Math.max(40, 96_000 / size)] : [14, 320] },
    legend: null,
  }
  const dot = { type: 'point', filled: true, opacity: 0.75, color: palette.blue }
  const layer: object[] = [
    {
      data: { values: faint },
      mark: { type: 'point', filled: true, size: 8, opacity: 0.3, color: palette.grey },
      encoding,
    },
    {
      data: { values: codes.filter(code => code.count === 0) },
      mark: { type: 'point', filled: false, size: 30, color: palette.orange, strokeWidth: 1.2 },
      encoding,
    },
    {
      data: { values: used },
      mark: counts === undefined ? { ...dot, size: 45 } : dot,
      encoding: counts === undefined ? encoding : { ...encoding, size: area },
    },
  ]
  const told =
    counts === undefined
      ? []
      : [`${used.length} chosen, larger where more often · ${size - used.length} never chosen, hollow`]
  return renderChart({
    ...edges,
    title: { text: title, subtitle: subtitle ?? [`${counted(size, 'code')} of ${dim}`, ...told] },
    layer,
  } as never)
}

function axes(shares: readonly number[], what: string): { x: object; y: object } {
  const title = (i: number): string =>
    shares.length === 0
      ? `${what} element ${i + 1}`
      : `principal component ${i + 1} (${(100 * shares[i]).toFixed(0)} % of variance)`
  const [x, y] = ['x', 'y'].map((field, i) => ({
    field,
    type: 'quantitative',
    title: title(i),
    scale: { zero: false, nice: false, padding: 12 },
    axis: { grid: true, tickCount: 6, domain: false, ticks: false, format: ',.9~g' },
  }))
  return { x, y }
}
