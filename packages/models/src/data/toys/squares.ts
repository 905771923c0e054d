import { expectInteger, expectNumber } from '@vq/core'
import { drawPoints, type PointOptions, type PointSet } from './points.js'

/** Points evenly over the square [−half, half)². One label. */
export function uniformSquare(options: PointOptions & { half?: number } = {}): PointSet {
  const { half = 1 } = options
  expectNumber('uniformSquare', 'half', half, 0, 1e6)
  return drawPoints('uniformSquare', options, 1, random => ({
    x: random.uniform(-half, half),
    y: random.uniform(-half, half),
    label: 0,
  }))
}

/**
 * Points evenly over every second cell of a board of `cells` × `cells`, an even number, default 4, that covers [−4, 4)²; the
 * cell at the lower left is one of them. Label: the cell, row by row from below.
 */
export function checkerboard(options: PointOptions & { cells?: number } = {}): PointSet {
  const { cells = 4 } = options
  expectInteger('checkerboard', 'cells', cells, 2, 1000)
  expectInteger('checkerboard', 'half the number of cells', cells / 2, 1)
  const edge = 8 / cells
  const perRow = cells / 2
  return drawPoints('checkerboard', options, cells * perRow, random => {
    const label = random.integer(cells * perRow)
    const row = Math.floor(label / perRow)
    const column = 2 * (label % perRow) + (row % 2)
    return { x: -4 + edge * (column + random.uniform()), y: -4 + edge * (row + random.uniform()), label }
  })
}
