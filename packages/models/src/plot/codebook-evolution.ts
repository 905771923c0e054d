import { expectConfig, expectShape } from '@vq/core'
import { type Animation, animation } from './animation.js'
import type { Figure } from './figure.js'
import { principalComponents } from './project.js'
import { renderChart } from './render.js'
import { counted, palette } from './theme.js'
import { boundsOf, voronoiRegions } from './voronoi.js'

export interface CodebookSnapshot {
  step: number
  /** [K, dim] */
  codebook: Float32Array
}

export interface CodebookEvolutionOptions {
  /** Length of a code. */
  dim: number
  /** Vectors [N, dim] that the codes stand for. */
  vectors?: Float32Array
  /** Milliseconds per snapshot. Default 250. */
  delay?: number
  title?: string
}

/**
 * How a codebook moves over training, a frame per snapshot: codes of two numbers with their regions, longer ones in the plane
 * of the principal components of the vectors (of the last codebook where there are none), each with the way it came.
 */
export async function codebookEvolution(
  snapshots: readonly CodebookSnapshot[],
  options: CodebookEvolutionOptions,
): Promise<Animation> {
  const { dim, vectors = new Float32Array(0), delay, title = 'The codebook over training' } = options
  const last = snapshots.at(-1)?.codebook
  expectShape(
    last !== undefined && last.length > 0 && snapshots.every(s => s.codebook.length === last.length),
    'codebookEvolution',
    'snapshots of one codebook [K, dim]',
    `${snapshots.length} snapshots of ${[...new Set(snapshots.map(s => s.codebook.length))].join(', ')} numbers`,
    'Take copies of the codebook while training.',
  )
  expectConfig(
    vectors.length % dim === 0,
    'codebookEvolution',
    `vectors of ${dim} numbers`,
    vectors.length,
    'Pass [N, dim].',
  )
  const told = (step: number): string =>
    `step ${step.toLocaleString('en-US')} · ${counted(last.length / dim, 'code')}`
  const frames: Figure[] = []
  if (dim === 2) {
    const bounds = boundsOf([...snapshots.map(s => s.codebook), vectors])
    for (const { step, codebook } of snapshots)
      frames.push(await voronoiRegions(codebook, { points: vectors, bounds, title, subtitle: told(step) }))
    return animation(frames, delay)
  }
  const { apply } = principalComponents(
    'codebookEvolution',
    vectors.length > 2 * dim ? vectors : last,
    dim,
    2,
  )
  const behind = apply(vectors)
  const flat = snapshots.map(s => apply(s.codebook))
  const bounds = boundsOf([...flat, behind].map(p => Float32Array.from(p)))
  const stride = Math.max(1, Math.ceil(behind.length / 2 / 2000))
  const faint = Array.from({ length: Math.floor(behind.length / 2 / stride) }, (_, i) => ({
    x: behind[2 * i * stride],
    y: behind[2 * i * stride + 1],
  }))
  for (const [f, { step }] of snapshots.entries()) {
    const ways = flat.slice(Math.max(0, f - 5), f + 1)
    const rows = ways.flatMap((points, order) =>
      Array.from({ length: points.length / 2 }, (_, code) => ({
        code,
        order,
        x: points[2 * code],
        y: points[2 * code + 1],
        now: order === ways.length - 1,
      })),
    )
    const axis = (field: 'x' | 'y', i: number): object => ({
      field,
      type: 'quantitative',
      title: `principal component ${i}`,
      scale: { domain: bounds[field], nice: false, zero: false },
      axis: { grid: true, tickCount: 6, domain: false, ticks: false, format: ',.9~g' },
    })
    const encoding = { x: axis('x', 1), y: axis('y', 2) }
    frames.push(
      await renderChart({
        width: 520,
        height: 440,
        title: { text: title, subtitle: told(step) },
        layer: [
          {
            data: { values: faint },
            mark: { type: 'point', filled: true, size: 8, opacity: 0.3, color: palette.grey },
            encoding,
          },
          {
            data: { values: rows },
            mark: { type: 'line', strokeWidth: 1, opacity: 0.5, color: palette.orange },
            encoding: { ...encoding, detail: { field: 'code' }, order: { field: 'order' } },
          },
          {
            data: { values: rows.filter(row => row.now) },
            mark: { type: 'point', filled: true, size: 36, opacity: 0.9, color: palette.blue },
            encoding,
          },
        ],
      } as never),
    )
  }
  return animation(frames, delay)
}
