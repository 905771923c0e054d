import { expectInteger, expectShape, tf } from '@vq/core'

/**
 * Euclidean distances between codes: [K, D] → [K, K], 0 on the diagonal. Taken from differences, so that near codes keep
 * their digits.
 */
export function codeDistances(codebook: tf.Tensor2D): tf.Tensor2D {
  expectShape(
    codebook.rank === 2,
    'codeDistances',
    'a codebook [K, D]',
    `a tensor [${codebook.shape.join(', ')}]`,
    'Pass one codebook at a time.',
  )
  const [k, dim] = codebook.shape
  return tf.tidy(() => {
    const values = codebook.dataSync<'float32'>()
    const distances = new Float32Array(k * k)
    for (let a = 0; a < k; a++)
      for (let b = 0; b < a; b++) {
        let sum = 0
        for (let d = 0; d < dim; d++) sum += (values[a * dim + d] - values[b * dim + d]) ** 2
        distances[a * k + b] = distances[b * k + a] = Math.sqrt(sum)
      }
    return tf.tensor2d(distances, [k, k])
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
 * the codes. Throws VqShapeError unless the codes have two numbers.
 */
export function codeRegions(codebook: Float32Array, bounds: Bounds = around(codebook)): Region[] {
  expectShape(
    codebook.length > 0 && codebook.length % 2 === 0,
    'codeRegions',
    'codes [K, 2]',
    `${codebook.length} numbers`,
    'Regions are drawn for codebooks of the plane.',
  )
  expectInteger('codeRegions', 'number of codes', codebook.length / 2, 1, 1 << 16)
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

// What of a polygon is nearer to a than to b (Sutherland and Hodgman 1974, one edge).
function cut(polygon: [number, number][], a: [number, number], b: [number, number]): [number, number][] {
  const [nx, ny] = [b[0] - a[0], b[1] - a[1]]
  const middle = (nx * (a[0] + b[0]) + ny * (a[1] + b[1])) / 2
  const side = ([x, y]: [number, number]): number => nx * x + ny * y - middle // ≤ 0: nearer to a
  const kept: [number, number][] = []
  for (const [i, p] of polygon.entries()) {
    const q = polygon[(i + 1) % polygon.length]
    const [sp, sq] = [side(p), side(q)]
    if (sp <= 0) kept.push(p)
    if (sp < 0 !== sq < 0 && sp !== 0 && sq !== 0) {
      const t = sp / (sp - sq)
      kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])])
    }
  }
  return kept.length > 2 ? kept : []
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
