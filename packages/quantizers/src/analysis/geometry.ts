import { describe, expectConfig, expectInteger, expectShape, tf, VqMemoryError, VqValueError } from '@vq/core'

/** Most numbers that `codeDistances` gives. */
const mostDistances = 2 ** 27

/**
 * Euclidean distances between codes: [K, D] → [K, K], 0 on the diagonal. Taken from differences, so that near codes keep
 * their digits. Throws VqShapeError, VqValueError for codes that are not finite, VqMemoryError for more than 11,585 codes.
 */
export function codeDistances(codebook: tf.Tensor2D): tf.Tensor2D {
  const operation = 'codeDistances'
  const isTensor = codebook instanceof tf.Tensor
  expectShape(
    isTensor && codebook.rank === 2,
    operation,
    'a codebook [K, D]',
    isTensor ? `a tensor [${codebook.shape.join(', ')}]` : describe(codebook),
    'Pass one codebook at a time, as a tensor.',
  )
  const [k, dim] = codebook.shape
  if (k * k > mostDistances)
    throw new VqMemoryError({
      operation,
      expected: `at most ${mostDistances} distances`,
      received: `${k} codes`,
      remedy: 'Pass some of the codes: tf.slice(codebook, [0, 0], [8192, -1]).',
    })
  const values = codebook.dataSync<'float32'>()
  expectFiniteCodes(operation, values, dim)
  const distances = new Float32Array(k * k)
  for (let a = 0; a < k; a++)
    for (let b = 0; b < a; b++) {
      let sum = 0
      for (let d = 0; d < dim; d++) sum += (values[a * dim + d] - values[b * dim + d]) ** 2
      distances[a * k + b] = distances[b * k + a] = Math.sqrt(sum)
    }
  return tf.tensor2d(distances, [k, k])
}

function expectFiniteCodes(operation: string, values: ArrayLike<number>, dim: number): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new VqValueError({
        operation,
        expected: 'finite codes',
        received: `${values[i]} in code ${Math.floor(i / dim)}`,
        remedy: 'Look for a step of training that diverged.',
      })
}

/** The part of the plane that is nearest to one code. */
export interface Region {
  code: number
  /** Corners [x, y] in order; none where the region lies outside of the bounds, or the code is a copy of an earlier one. */
  polygon: [number, number][]
}

export interface Bounds {
  x: [low: number, high: number]
  y: [low: number, high: number]
}

/**
 * The regions of a codebook of the plane, [K, 2] row by row, within bounds: polygons that share their edges and fill the
 * bounds (Voronoi cells, each the bounds cut by one half-plane per other code). By default the bounds leave a tenth around
 * the codes. Throws VqShapeError unless the codes have two numbers, VqValueError for codes that are not finite, VqConfigError
 * for bounds that hold nothing.
 */
export function codeRegions(codebook: Float32Array, within?: Bounds): Region[] {
  const operation = 'codeRegions'
  const isArray = codebook instanceof Float32Array
  expectShape(
    isArray && codebook.length > 0 && codebook.length % 2 === 0,
    operation,
    'codes [K, 2] in a Float32Array',
    isArray ? `${codebook.length} numbers` : describe(codebook),
    'Regions are drawn for codebooks of the plane.',
  )
  expectInteger(operation, 'number of codes', codebook.length / 2, 1, 1 << 16)
  expectFiniteCodes(operation, codebook, 2)
  const bounds = within ?? around(codebook)
  for (const name of ['x', 'y'] as const) {
    const [low, high] = Array.isArray(bounds[name]) ? bounds[name] : [Number.NaN, Number.NaN]
    expectConfig(
      Number.isFinite(low) && Number.isFinite(high) && low < high,
      operation,
      `bounds of ${name} as [low, high], low < high`,
      `[${low}, ${high}]`,
      'Pass { x: [0, 1], y: [0, 1] }.',
    )
  }
  const k = codebook.length / 2
  const at = (i: number): [number, number] => [codebook[2 * i], codebook[2 * i + 1]]
  return Array.from({ length: k }, (_, code) => {
    const [x, y] = [bounds.x, bounds.y]
    let polygon: [number, number][] = [
      [x[0], y[0]],
      [x[1], y[0]],
      [x[1], y[1]],
      [x[0], y[1]],
    ]
    const own = at(code)
    for (let other = 0; other < k && polygon.length > 0; other++) {
      if (other === code) continue
      const [ox, oy] = at(other)
      // Ties go to the lower code: of two equal ones it has the whole region.
      if (ox === own[0] && oy === own[1]) {
        if (other < code) polygon = []
        continue
      }
      polygon = cut(polygon, own, [ox, oy])
    }
    return { code, polygon }
  })
}

// What of a polygon is nearer to a than to b (Sutherland and Hodgman 1974, one edge). Corners on the line within rounding
// count as on it, or a grid's cells would lose slivers at their corners.
function cut(polygon: [number, number][], a: [number, number], b: [number, number]): [number, number][] {
  const [nx, ny] = [b[0] - a[0], b[1] - a[1]]
  const middle = (nx * (a[0] + b[0]) + ny * (a[1] + b[1])) / 2
  const sides = polygon.map(([x, y]) => {
    const side = nx * x + ny * y - middle // below 0: nearer to a
    const rounding = 1e-12 * (Math.abs(nx * x) + Math.abs(ny * y) + Math.abs(middle))
    return Math.abs(side) <= rounding ? 0 : side
  })
  if (!sides.some(side => side < 0)) return []
  const kept: [number, number][] = []
  for (const [i, p] of polygon.entries()) {
    const next = (i + 1) % polygon.length
    const [sp, sq] = [sides[i], sides[next]]
    if (sp <= 0) kept.push(p)
    if (sp === 0 || sq === 0 || sp < 0 === sq < 0) continue
    const [q, t] = [polygon[next], sp / (sp - sq)]
    kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])])
  }
  return kept
}

function around(codebook: Float32Array): Bounds {
  const axis = (first: number): [number, number] => {
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let i = first; i < codebook.length; i += 2) {
      low = Math.min(low, codebook[i])
      high = Math.max(high, codebook[i])
    }
    const room = 0.1 * (high - low) || 1
    return [low - room, high + room]
  }
  return { x: axis(0), y: axis(1) }
}
