import type { Column } from './table.js'

/** How often two numberings of the same rows meet. */
export interface Contingency {
  /** Rows that both number. */
  rows: number
  /** How often each number of `a` occurs there. */
  a: Float64Array
  /** The same of `b`. */
  b: Float64Array
  /** How often each pair that occurs does, in no order that matters. */
  joint: Float64Array
  /** [a's size], how often the commonest number of `b` occurs with each of `a`. */
  most: Float64Array
}

/** Rows with −1 in either are left out. Time and memory by the rows and the two sizes, not by their product. */
export function contingencyOf(a: Column, b: Column): Contingency {
  const n = a.values.length
  const counts = { a: new Float64Array(a.size), b: new Float64Array(b.size) }
  const starts = new Uint32Array(a.size + 1)
  let rows = 0
  for (let i = 0; i < n; i++) {
    const [x, y] = [a.values[i], b.values[i]]
    if (x < 0 || y < 0) continue
    rows++
    starts[x + 1]++
    counts.a[x]++
    counts.b[y]++
  }
  for (let k = 0; k < a.size; k++) starts[k + 1] += starts[k]
  const byA = new Int32Array(rows)
  const next = starts.slice()
  for (let i = 0; i < n; i++) {
    const [x, y] = [a.values[i], b.values[i]]
    if (x >= 0 && y >= 0) byA[next[x]++] = y
  }
  const tally = new Uint32Array(b.size)
  const most = new Float64Array(a.size)
  const joint: number[] = []
  for (let x = 0; x < a.size; x++) {
    for (let i = starts[x]; i < starts[x + 1]; i++) most[x] = Math.max(most[x], ++tally[byA[i]])
    for (let i = starts[x]; i < starts[x + 1]; i++) {
      const y = byA[i]
      if (tally[y] > 0) joint.push(tally[y])
      tally[y] = 0
    }
  }
  return { rows, ...counts, joint: Float64Array.from(joint), most }
}
