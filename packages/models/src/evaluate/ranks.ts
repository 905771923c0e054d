/**
 * Replaces finite numbers by their ranks, 1 … n, equal ones by the average of theirs. Sorts a copy without indices, then
 * finds each number in it, from a table of where each part of the range begins.
 */
export function averageRanks(values: Float64Array): void {
  const n = values.length
  if (n === 0) return
  const sorted = values.slice().sort()
  const low = sorted[0]
  const range = sorted[n - 1] - low
  const parts = Math.min(1 << 20, n)
  const part = (value: number): number =>
    range > 0 ? Math.min(parts - 1, Math.floor(((value - low) / range) * parts)) : 0
  // begins[p]: the first place in `sorted` of part p or a later one.
  const begins = new Int32Array(parts + 1).fill(n)
  for (let i = n - 1; i >= 0; i--) begins[part(sorted[i])] = i
  for (let p = parts - 1; p >= 0; p--) begins[p] = Math.min(begins[p], begins[p + 1])
  for (let i = 0; i < n; i++) {
    const p = part(values[i])
    const first = firstNotBelow(sorted, values[i], begins[p], begins[p + 1])
    const last = firstAbove(sorted, values[i], first, begins[p + 1])
    values[i] = (first + last + 1) / 2
  }
}

function firstNotBelow(sorted: Float64Array, value: number, from: number, to: number): number {
  let [low, high] = [from, to]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

function firstAbove(sorted: Float64Array, value: number, from: number, to: number): number {
  let [low, high] = [from, to]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle] <= value) low = middle + 1
    else high = middle
  }
  return low
}
