import type { IdTable } from './table.js'

export interface Vectors {
  /** [n, L], those that are not masked from the first level on. */
  codes: Int32Array
  /** [n], the item of each. */
  items: Int32Array
}

/** The vectors of all positions that have a code. */
export function unmasked({ codes, positions, levels }: IdTable): Vectors {
  const all = codes.length / levels
  const places = Int32Array.from({ length: all }, (_, i) => i).filter(i => codes[i * levels] >= 0)
  const items = places.map(place => Math.floor(place / positions))
  if (places.length === all) return { codes, items }
  const kept = new Int32Array(places.length * levels)
  for (const [to, place] of places.entries())
    kept.set(codes.subarray(place * levels, (place + 1) * levels), to * levels)
  return { codes: kept, items }
}
