import { expectShape } from '@vq/core'
import type { Figure } from './figure.js'
import { imageGrid } from './image-grid.js'

export interface LatentGridOptions {
  title?: string
  subtitle?: string
}

export interface SampleGridOptions extends LatentGridOptions {
  /** [N, H, W, C] */
  shape: readonly number[]
  /** Default 8. */
  columns?: number
  /** One below each image. */
  captions?: readonly string[]
}

/** Images drawn from a model, [N, H, W, C], values 0..1. */
export function sampleGrid(
  images: Float32Array,
  { captions, ...options }: SampleGridOptions,
): Promise<Figure> {
  return imageGrid([{ images, ...(captions && { captions }) }], { title: 'Samples', ...options })
}

export interface InterpolationGridOptions extends LatentGridOptions {
  /** [pairs, steps, H, W, C] */
  shape: readonly number[]
}

/** Ways from one image to another through latent space, a row each: images [pairs, steps, H, W, C]. */
export function interpolationGrid(
  images: Float32Array,
  { shape, ...options }: InterpolationGridOptions,
): Promise<Figure> {
  const rows = rowsOf('interpolationGrid', images, shape).map(images => ({ images }))
  const steps = shape[1]
  const columnLabels = Array.from({ length: steps }, (_, i) => (steps > 1 ? i / (steps - 1) : 0).toFixed(2))
  return imageGrid(rows, {
    title: 'Between two images',
    ...options,
    shape: shape.slice(1),
    columns: steps,
    columnLabels,
  })
}

export interface TraversalGridOptions extends LatentGridOptions {
  /** [dimensions, steps, H, W, C] */
  shape: readonly number[]
  /** The latent's value at each step. */
  values: readonly number[]
  /** Which latents the rows are. Default 0, 1, 2, … */
  dimensions?: readonly number[]
}

/** One latent moved at a time, the others kept: images [dimensions, steps, H, W, C], a row per latent. */
export function traversalGrid(
  images: Float32Array,
  { shape, values, dimensions, ...options }: TraversalGridOptions,
): Promise<Figure> {
  const rows = rowsOf('traversalGrid', images, shape).map((images, i) => ({
    label: `latent ${dimensions?.[i] ?? i}`,
    images,
  }))
  const columnLabels = values.map(v => v.toPrecision(2).replace('-', '−'))
  return imageGrid(rows, {
    title: 'One latent moved at a time',
    ...options,
    shape: shape.slice(1),
    columns: shape[1],
    columnLabels,
  })
}

function rowsOf(operation: string, images: Float32Array, shape: readonly number[]): Float32Array[] {
  const size = shape.slice(1).reduce((a, b) => a * b, 1)
  expectShape(
    shape.length === 5 && size > 0 && images.length === shape[0] * size,
    operation,
    'images [rows, steps, H, W, C]',
    `shape [${shape.join(', ')}] and ${images.length} numbers`,
    'Pass the images of all rows one after another, and their shape.',
  )
  return Array.from({ length: shape[0] }, (_, i) => images.subarray(i * size, (i + 1) * size))
}
