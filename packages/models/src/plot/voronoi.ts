import { expectShape } from '@vq/core'
import { type Bounds, codeRegions } from '@vq/quantizers'
import type { Figure } from './figure.js'
import { renderChart } from './render.js'
import { counted, palette } from './theme.js'

export interface VoronoiOptions {
  /** Points [N, 2] that the codes stand for. */
  points?: Float32Array
  /** How often each code was chosen, [K]: darker regions. */
  counts?: ArrayLike<number>
  /** Default: around codes and points. */
  bounds?: Bounds
  title?: string
  subtitle?: string
}

const mostPoints = 3000

/** The regions of a codebook of the plane, [K, 2], with its codes and the points that they stand for. */
export function voronoiRegions(codebook: Float32Array, options: VoronoiOptions = {}): Promise<Figure> {
  const { points = new Float32Array(0), counts, title = 'Regions of the codes', subtitle } = options
  const size = codebook.length / 2
  expectShape(
    points.length % 2 === 0 && (counts === undefined || counts.length === size),
    'voronoiRegions',
    `points [N, 2] and ${size} counts`,
    `${points.length} numbers and ${counts?.length ?? 'no'} counts`,
    'Pass points of the plane, and one count per code.',
  )
  const bounds = options.bounds ?? boundsOf([codebook, points])
  const total = Array.from(counts ?? []).reduce((a, b) => a + b, 0)
  const regions = codeRegions(codebook, bounds).flatMap(({ code, polygon }) => {
    const share = counts === undefined ? 0 : counts[code] / Math.max(1, total)
    return polygon.map(([x, y], order) => ({ code, order, x, y, share }))
  })
  const axis = (field: 'x' | 'y'): object => ({
    field,
    type: 'quantitative',
    title: field,
    scale: { domain: bounds[field], nice: false, zero: false },
    axis: { grid: false, tickCount: 6, domain: false, format: ',.9~g' },
  })
  const encoding = { x: axis('x'), y: axis('y') }
  const fill =
    total === 0
      ? { value: '#f3f6fa' }
      : {
          field: 'share',
          type: 'quantitative',
          scale: { range: ['#f7f9fb', '#8fc1e3'], domainMin: 0 },
          legend: { title: 'share of points', format: '.2~p', symbolType: 'square', tickCount: 4 },
        }
  const stride = Math.ceil(points.length / 2 / mostPoints)
  const dots = Array.from({ length: Math.floor(points.length / 2 / Math.max(1, stride)) }, (_, i) => ({
    x: points[2 * i * stride],
    y: points[2 * i * stride + 1],
  }))
  const codes = Array.from({ length: size }, (_, k) => ({ x: codebook[2 * k], y: codebook[2 * k + 1] }))
  // As wide as high where one unit is as long on both axes, within reason.
  const ratio = (bounds.y[1] - bounds.y[0]) / (bounds.x[1] - bounds.x[0])
  return renderChart({
    width: 520,
    height: Math.round(520 * Math.min(1.5, Math.max(0.4, ratio))),
    title: { text: title, subtitle: subtitle ?? counted(size, 'code') },
    layer: [
      {
        data: { values: regions },
        mark: {
          type: 'line',
          filled: true,
          interpolate: 'linear-closed',
          stroke: palette.grey,
          strokeWidth: 1,
          strokeOpacity: 1,
          opacity: 1,
        },
        encoding: { ...encoding, detail: { field: 'code' }, order: { field: 'order' }, fill },
      },
      {
        data: { values: dots.filter(({ x, y }) => inside(bounds, x, y)) },
        mark: { type: 'point', filled: true, size: 7, opacity: 0.45, color: palette.blue },
        encoding,
      },
      {
        data: { values: codes.filter(({ x, y }) => inside(bounds, x, y)) },
        mark: {
          type: 'point',
          filled: true,
          // Many codes would hide their regions.
          size: Math.max(6, Math.min(60, 12_000 / size)),
          opacity: 1,
          color: palette.orange,
          stroke: '#ffffff',
          strokeWidth: size <= 400 ? 1 : 0.3,
        },
        encoding,
      },
    ],
  } as never)
}

const inside = ({ x: [x0, x1], y: [y0, y1] }: Bounds, x: number, y: number): boolean =>
  x >= x0 && x <= x1 && y >= y0 && y <= y1

/** Around all points of the plane, with a twentieth to spare; where they differ by no more than rounding, half a unit. */
export function boundsOf(arrays: readonly Float32Array[]): Bounds {
  const of = (axis: 0 | 1): [number, number] => {
    let [low, high] = [Infinity, -Infinity]
    for (const values of arrays)
      for (let i = axis; i < values.length; i += 2) {
        low = Math.min(low, values[i])
        high = Math.max(high, values[i])
      }
    return [low, high]
  }
  const [x, y] = [of(0), of(1)]
  const least = 1e-9 * Math.max(...[...x, ...y].map(Math.abs))
  const wider = ([low, high]: [number, number]): [number, number] => {
    const spare = high - low > least ? (high - low) / 20 : Math.max(0.5, 2 * least)
    return [low - spare, high + spare]
  }
  return { x: wider(x), y: wider(y) }
}
