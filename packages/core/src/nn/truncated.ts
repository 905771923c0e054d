import type { Random } from '../random.js'

/** Draws from N(0, 1) given [low, high], which are counts of deviations. */
export function drawTruncated(low: number, high: number, generator: Random): () => number {
  // At least two thirds of all normal numbers lie inside: throw the others away.
  if (low <= -1 && high >= 1)
    return () => {
      for (;;) {
        const z = generator.normal()
        if (z >= low && z <= high) return z
      }
    }
  // Else uniform numbers, kept in proportion to the density. It is largest at the point nearest to 0, and less than
  // e^−40 of that nine deviations farther out, which bounds the tries at about a hundred per number.
  const top = Math.min(high, Math.max(low, 0))
  const [from, to] = [Math.max(low, top - 9), Math.min(high, top + 9)]
  return () => {
    for (;;) {
      const z = generator.uniform(from, to)
      if (generator.uniform() < Math.exp((top * top - z * z) / 2)) return z
    }
  }
}
