import { expectInteger, expectNumber } from '@vq/core'
import { drawPoints, type PointOptions, type PointSet } from './points.js'

/** Equally likely normal clouds on a grid of `side` × `side` places, `spacing` apart, around the origin. Label: the cloud. */
export function gaussianGrid(
  options: PointOptions & { side?: number; spacing?: number; deviation?: number } = {},
): PointSet {
  const { side = 5, spacing = 2, deviation = 0.05 } = options
  expectInteger('gaussianGrid', 'side', side, 1, 1000)
  expectNumber('gaussianGrid', 'spacing', spacing, 0, 1e6)
  expectNumber('gaussianGrid', 'deviation', deviation, 0, 1e6)
  const place = (i: number): number => (i - (side - 1) / 2) * spacing
  return drawPoints('gaussianGrid', options, side * side, random => {
    const label = random.integer(side * side)
    const [x, y] = [place(label % side), place(Math.floor(label / side))]
    return { x: random.normal(x, deviation), y: random.normal(y, deviation), label }
  })
}

/** Equally likely normal clouds evenly on a circle around the origin, the first at angle 0. Label: the cloud. */
export function gaussianRing(
  options: PointOptions & { modes?: number; radius?: number; deviation?: number } = {},
): PointSet {
  const { modes = 8, radius = 2, deviation = 0.05 } = options
  expectInteger('gaussianRing', 'modes', modes, 1, 1e6)
  expectNumber('gaussianRing', 'radius', radius, 0, 1e6)
  expectNumber('gaussianRing', 'deviation', deviation, 0, 1e6)
  return drawPoints('gaussianRing', options, modes, random => {
    const label = random.integer(modes)
    const angle = (2 * Math.PI * label) / modes
    return {
      x: random.normal(radius * Math.cos(angle), deviation),
      y: random.normal(radius * Math.sin(angle), deviation),
      label,
    }
  })
}

/** Normal clouds around centres drawn evenly from [−box, box]², as scikit-learn's `make_blobs`. Label: the cloud. */
export function blobs(
  options: PointOptions & { centers?: number; box?: number; deviation?: number } = {},
): PointSet {
  const { centers = 3, box = 10, deviation = 1 } = options
  expectInteger('blobs', 'centers', centers, 1, 1e6)
  expectNumber('blobs', 'box', box, 0, 1e6)
  expectNumber('blobs', 'deviation', deviation, 0, 1e6)
  let middle: number[] | undefined
  return drawPoints('blobs', options, centers, (random, i) => {
    middle ??= Array.from({ length: 2 * centers }, () => random.uniform(-box, box))
    const label = i % centers
    return {
      x: random.normal(middle[2 * label], deviation),
      y: random.normal(middle[2 * label + 1], deviation),
      label,
    }
  })
}

/**
 * Arms of normal clouds bent by how far out they are: radius r ~ N(1, radial²), turned by rate·eʳ. Label: the arm.
 * Source: Johnson et al. 2016, https://arxiv.org/abs/1603.06277, its published code.
 */
export function pinwheel(
  options: PointOptions & { arms?: number; radial?: number; tangential?: number; rate?: number } = {},
): PointSet {
  const { arms = 5, radial = 0.3, tangential = 0.1, rate = 0.25 } = options
  expectInteger('pinwheel', 'arms', arms, 1, 1e6)
  expectNumber('pinwheel', 'radial', radial, 0, 100)
  expectNumber('pinwheel', 'tangential', tangential, 0, 100)
  expectNumber('pinwheel', 'rate', rate, 0, 100)
  return drawPoints('pinwheel', options, arms, (random, i) => {
    const label = i % arms
    const out = 1 + radial * random.normal()
    const aside = tangential * random.normal()
    const angle = (2 * Math.PI * label) / arms + rate * Math.exp(out)
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    return { x: out * cos + aside * sin, y: aside * cos - out * sin, label }
  })
}
