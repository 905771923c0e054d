/** Parts of the range, of about as many numbers each as a few lines of cache hold. */
const mostParts = 1 << 21

/**
 * Replaces finite numbers by their ranks, 1 … n, equal ones by the average of theirs. A copy is dealt out to equal parts of
 * the range and each part sorted, so that sorting and then finding each number stays within a few lines of cache.
 */
export function averageRanks(values: Float64Array): void {
  const n = values.length
  if (n === 0) return
  let low = values[0]
  let high = low
  for (let i = 1; i < n; i++) {
    low = Math.min(low, values[i])
    high = Math.max(high, values[i])
  }
  const parts = Math.max(1, Math.min(mostParts, n >>> 3))
  // Rises with the value; a range too small to divide by is one part.
  const times = Number.isFinite(parts / (high - low)) ? parts / (high - low) : 0
  const begins = new Int32Array(parts + 1)
  for (let i = 0; i < n; i++) begins[partOf(values[i], low, times, parts) + 1]++
  for (let p = 0; p < parts; p++) begins[p + 1] += begins[p]
  const sorted = dealt(values, begins, low, times)
  for (let p = 0; p < parts; p++)
    if (begins[p + 1] - begins[p] > 1) sortPart(sorted, begins[p], begins[p + 1])
  for (let i = 0; i < n; i++) {
    const value = values[i]
    const p = partOf(value, low, times, parts)
    const end = begins[p + 1]
    const first = firstOver(sorted, value, begins[p], end, false)
    let last = first + 1
    if (last < end && sorted[last] === value) last = firstOver(sorted, value, last, end, true)
    values[i] = (first + last + 1) / 2
  }
}

function partOf(value: number, low: number, times: number, parts: number): number {
  const p = ((value - low) * times) | 0
  return p < parts ? p : parts - 1
}

function dealt(values: Float64Array, begins: Int32Array, low: number, times: number): Float64Array {
  const next = begins.slice()
  const out = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const p = partOf(values[i], low, times, begins.length - 1)
    out[next[p]] = values[i]
    next[p]++
  }
  return out
}

// Insertion while there are few, which calls nothing.
function sortPart(sorted: Float64Array, from: number, to: number): void {
  if (to - from > 48) {
    sorted.subarray(from, to).sort()
    return
  }
  for (let i = from + 1; i < to; i++) {
    const value = sorted[i]
    let at = i
    for (; at > from && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1]
    sorted[at] = value
  }
}

/** The first place of from … to whose number is over `value`, or, unless `above`, equal to it. */
function firstOver(sorted: Float64Array, value: number, from: number, to: number, above: boolean): number {
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle] < value || (above && sorted[middle] === value)) low = middle + 1
    else high = middle
  }
  return low
}
