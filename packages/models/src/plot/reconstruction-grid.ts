import type { Figure } from './figure.js'
import { type ImageGridOptions, imageGrid } from './image-grid.js'

export type ReconstructionGridOptions = Omit<ImageGridOptions, 'columnLabels'>

/**
 * Originals above their reconstructions, [N, H, W, C] each, in as many pairs of rows as needed. Throws VqShapeError for
 * images that do not fit `shape`.
 */
export function reconstructionGrid(
  originals: Float32Array,
  reconstructions: Float32Array,
  options: ReconstructionGridOptions,
): Promise<Figure> {
  const rows = [
    { label: 'original', images: originals },
    { label: 'reconstruction', images: reconstructions },
  ]
  return imageGrid(rows, { title: 'Originals above reconstructions', ...options })
}

export interface ResidualStagesOptions extends ReconstructionGridOptions {
  /** One per stage, such as its error. Default '1 level', '2 levels', … */
  labels?: readonly string[]
}

/**
 * Originals above what comes back from one level of a residual quantizer, two levels, and so on: `stages[q]` holds the
 * reconstructions [N, H, W, C] of the first q + 1 levels.
 */
export function residualStages(
  originals: Float32Array,
  stages: readonly Float32Array[],
  { labels, ...options }: ResidualStagesOptions,
): Promise<Figure> {
  const named = stages.map((images, q) => ({
    label: labels?.[q] ?? (q === 0 ? '1 level' : `${q + 1} levels`),
    images,
  }))
  const rows = [{ label: 'original', images: originals }, ...named]
  return imageGrid(rows, { title: 'Reconstructions by number of levels', ...options })
}
