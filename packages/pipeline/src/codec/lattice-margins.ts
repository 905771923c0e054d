// How near a point of a lattice comes to being another one.
import type { FsqBound } from '@vq/core'

/** One dimension: its values are `step` apart, from `lowest` to `highest`. */
export interface Axis {
  step: number
  lowest: number
  highest: number
}

/** Of the values that FSQ rounds to. */
export function stepsOfLevels(levels: readonly number[], bound: FsqBound): Axis[] {
  return levels.map(l => {
    if (bound === 'symmetric') return { step: 2 / (l - 1), lowest: -1, highest: 1 }
    const half = Math.floor(l / 2)
    return { step: 1 / half, lowest: -1, highest: (l - 1 - half) / half }
  })
}

/**
 * d₂/d₁ − 1 of points [N, D] that became the values `chosen` [N, D]: the second nearest point of a lattice differs from the
 * nearest in one dimension alone, by one step, r = x − q: d₂² = d₁² + min over dimensions of (s − |r|)² − r², or (s + |r|)² − r²
 * where there is no value on that side. Infinite where a point is met exactly. float32 [N].
 */
export function marginsInLattice(
  points: Float32Array,
  chosen: Float32Array,
  axes: readonly Axis[],
): Float32Array {
  const dim = axes.length
  const n = points.length / dim
  const margins = new Float32Array(n)
  for (let i = 0; i < n; i++) {
    let square = 0
    let least = Number.POSITIVE_INFINITY
    for (const [d, { step, lowest, highest }] of axes.entries()) {
      const q = chosen[i * dim + d] as number
      const r = (points[i * dim + d] as number) - q
      const edge = r >= 0 ? highest - q : q - lowest
      const more = step * step + (edge > step / 2 ? -2 : 2) * step * Math.abs(r)
      square += r * r
      least = Math.min(least, more)
    }
    // Rounding can make it less than nothing where two points are equally near.
    margins[i] = square === 0 ? Number.POSITIVE_INFINITY : Math.sqrt(1 + Math.max(0, least) / square) - 1
  }
  return margins
}
