import { entropyOf } from '@vq/quantizers'
import { contingencyOf } from './contingency.js'
import { columnOf } from './table.js'

export interface LevelPair {
  /** Levels, from 0, a < b. */
  a: number
  b: number
  /** I(a; b) in bits, at least 0. */
  bits: number
  /**
   * What independent levels with as many codes in use would show on so few rows, (used_a − 1)(used_b − 1) / (2 N ln 2) bits.
   * Source: Miller 1955, "Note on the bias of information estimates". Holds where rows are many per pair of codes.
   */
  chance: number
}

/** Pairs of more levels are not measured: their number grows with its square. */
const mostLevels = 16

/** Mutual information of every two of the first 16 levels, of codes [n, levels]. */
export function dependenceOf(codes: Int32Array, sizes: readonly number[]): LevelPair[] {
  const columns = sizes.slice(0, mostLevels).map((size, l) => columnOf(codes, l, sizes.length, size))
  const pairs: LevelPair[] = []
  for (let a = 0; a < columns.length; a++)
    for (let b = a + 1; b < columns.length; b++) {
      const met = contingencyOf(columns[a], columns[b])
      const bits = entropyOf(met.a) + entropyOf(met.b) - entropyOf(met.joint)
      const [usedA, usedB] = [met.a, met.b].map(counts => counts.reduce((n, c) => n + (c > 0 ? 1 : 0), 0))
      const chance = met.rows === 0 ? 0 : ((usedA - 1) * (usedB - 1)) / (2 * met.rows * Math.LN2)
      pairs.push({ a, b, bits: Math.max(0, bits), chance })
    }
  return pairs
}
