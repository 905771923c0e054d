import { expectInteger, expectNumber, Random } from '@vq/core'
import { ArrayDataset } from '../array-dataset.js'
import { type LabeledDataset, labeled } from '../images/byte-images.js'

/** Points of the plane, [2] each, with the part of the figure that each belongs to. */
export interface PointSet extends LabeledDataset {
  /** [n, 2] */
  readonly points: Float32Array
}

export interface PointOptions {
  /** How many points. Default 1,000. */
  n?: number
  /** Default 0. */
  seed?: number
}

export interface NoisyOptions extends PointOptions {
  /** Standard deviation of normal noise on both coordinates. Default 0. */
  noise?: number
}

interface Point {
  x: number
  y: number
  /** From 0. */
  label: number
}

/** Checks the common options and draws the points: `place` gives point i before noise. In random order. */
export function drawPoints(
  operation: string,
  options: NoisyOptions,
  classes: number,
  place: (random: Random, i: number, n: number) => Point,
): PointSet {
  const { n = 1000, seed = 0, noise = 0 } = options
  expectInteger(operation, 'n', n, 1, 1e8)
  expectNumber(operation, 'noise', noise, 0, 1e6)
  const random = new Random(seed)
  const order = random.permutation(n)
  const points = new Float32Array(2 * n)
  const labelIds = new Int32Array(n)
  for (let i = 0; i < n; i++) {
    const { x, y, label } = place(random, i, n)
    points[2 * order[i]] = x + (noise > 0 ? random.normal(0, noise) : 0)
    points[2 * order[i] + 1] = y + (noise > 0 ? random.normal(0, noise) : 0)
    labelIds[order[i]] = label
  }
  const data = new ArrayDataset(points, [2])
  return {
    length: n,
    shape: [2],
    points,
    batch: indices => data.batch(indices),
    ...labeled(
      operation,
      labelIds,
      Array.from({ length: classes }, (_, i) => String(i)),
    ),
  }
}
