// Lloyd's algorithm (1982) over a store of rows, as `kmeans` of @vq/core has it for rows in memory.
import { ClusterSums } from '@vq/core'
import type { RowStore } from './row-store.js'
import type { Turn } from './turn.js'

export interface StageOptions {
  k: number
  maxIter: number
  tol: number
  turn: Turn
  /** Told after every assignment. */
  onIteration(progress: LloydProgress): Promise<void>
}

export interface LloydProgress {
  /** Assignments so far. */
  iteration: number
  inertia: number
  /** From here a run goes on as if it had not been stopped. */
  next: LloydStart
}

export interface LloydStart {
  centroids: Float32Array
  /** Assignments made before. */
  iteration: number
  /** Squared shift at which the run ends; undefined before the first assignment. */
  close?: number
  /** The run ends with the next assignment. */
  last?: boolean
}

export interface Stage {
  centroids: Float32Array
  /** [N] */
  codes: Int32Array
  inertia: number
}

/** Runs until nothing changes, the centroids' shift is at most tol times the mean variance, or maxIter updates are done. */
export async function lloyd(
  store: RowStore,
  start: LloydStart,
  { k, maxIter, tol, turn, onIteration }: StageOptions,
): Promise<Stage> {
  const { dim, count } = store
  const sums = new ClusterSums({ k, dim })
  const codes = new Int32Array(count).fill(-1)
  let { centroids, close, last: converged = false } = start
  for (let { iteration } = start; ; iteration++) {
    sums.reset()
    let changed = false
    for (let b = 0; b < store.blocks; b++) {
      await turn.pass()
      store.visit(b, (rows, first) => {
        const found = sums.add(rows, centroids)
        for (let i = 0; i < found.length; i++)
          if (codes[first + i] !== found[i]) {
            changed = true
            codes[first + i] = found[i]
          }
        return false
      })
    }
    const { inertia } = sums
    close ??= tol > 0 ? tol * meanVariance(sums, centroids, count) : -1
    const last = converged || iteration >= maxIter || !changed
    const next: LloydStart = { centroids, iteration, close, ...(last ? { last } : {}) }
    await onIteration({ iteration: iteration + 1, inertia, next })
    if (last) return { centroids, codes, inertia }
    const updated = await moved(store, sums, centroids, codes, turn)
    converged = squaredShift(centroids, updated) <= close
    centroids = updated
  }
}

// Variance of the rows, averaged over dimensions, from what they add up to around centroids.
function meanVariance(sums: ClusterSums, centroids: Float32Array, count: number): number {
  const { k, dim } = sums
  const mean = new Float64Array(dim)
  let squares = sums.inertia
  for (let c = 0; c < k; c++)
    for (let d = 0; d < dim; d++) {
      const [sum, at] = [sums.sums[c * dim + d], centroids[c * dim + d]]
      mean[d] += sum / count
      squares += 2 * at * sum - sums.counts[c] * at * at
    }
  const off = mean.reduce((total, m) => total + m * m, 0)
  return Math.max(0, squares / count - off) / dim
}

export function squaredShift(a: Float32Array, b: Float32Array): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += (a[i] - b[i]) ** 2
  return total
}

/**
 * The means of the clusters. Empty ones take, one after another, the farthest row of the heaviest cluster that has rows
 * away from its centroid, whose mean is then taken without that row; where there is none, they stay.
 */
async function moved(
  store: RowStore,
  sums: ClusterSums,
  centroids: Float32Array,
  codes: Int32Array,
  turn: Turn,
): Promise<Float32Array> {
  const { k, dim } = sums
  const empty = Array.from({ length: k }, (_, c) => c).filter(c => sums.counts[c] === 0)
  if (empty.length === 0) return sums.means(centroids)
  const spreads = sums.spreads()
  // A donor gives one row at a time, and is then lighter by it: how many each gives follows from the counts alone.
  const left = sums.counts.slice()
  const gives = new Map<number, number>()
  for (const _ of empty) {
    let donor = -1
    for (let c = 0; c < k; c++)
      if (spreads[c] > 0 && left[c] > 1 && (donor < 0 || left[c] > left[donor])) donor = c
    if (donor < 0) break
    left[donor]--
    gives.set(donor, (gives.get(donor) ?? 0) + 1)
  }
  const far = await farthestRows(store, centroids, codes, gives, turn)
  const next = sums.means(centroids)
  let given = 0
  for (const [donor, rows] of far) {
    const values = store.gather(rows)
    for (let i = 0; i < rows.length; i++) {
      next.set(values.subarray(i * dim, (i + 1) * dim), empty[given++] * dim)
      for (let d = 0; d < dim; d++) sums.sums[donor * dim + d] -= values[i * dim + d]
    }
    sums.counts[donor] -= rows.length
    for (let d = 0; d < dim; d++) next[donor * dim + d] = sums.sums[donor * dim + d] / sums.counts[donor]
  }
  return next
}

// Of each cluster in `gives` that many of its farthest rows that lie away from the centroid; of equally far ones the first.
async function farthestRows(
  store: RowStore,
  centroids: Float32Array,
  codes: Int32Array,
  gives: Map<number, number>,
  turn: Turn,
): Promise<[number, number[]][]> {
  const { dim } = store
  const found = new Map([...gives].map(([c]) => [c, [] as { row: number; distance: number }[]]))
  for (let b = 0; b < store.blocks; b++) {
    await turn.pass()
    store.visit(b, (rows, first) => {
      for (let i = 0; i < rows.length / dim; i++) {
        const c = codes[first + i]
        const list = found.get(c)
        if (list === undefined) continue
        let distance = 0
        for (let d = 0; d < dim; d++) distance += (rows[i * dim + d] - centroids[c * dim + d]) ** 2
        const most = gives.get(c) as number
        if (distance === 0 || (list.length === most && distance <= list[most - 1].distance)) continue
        const at = list.findIndex(e => e.distance < distance)
        list.splice(at < 0 ? list.length : at, 0, { row: first + i, distance })
        if (list.length > most) list.pop()
      }
      return false
    })
  }
  return [...found].map(([c, list]) => [c, list.map(e => e.row)])
}
