// Assignments under which no code holds more than `most` rows. Prices on full codes, moved against the excess, share the
// rows out nearly evenly while the centroids settle (the dual of the transport problem, by subgradient steps); what is still
// too much is then moved where it costs least.
import { ClusterSums } from '@vq/core'
import { Heap, type Move } from './heap.js'
import type { Stage, StageOptions } from './lloyd.js'
import type { RowStore } from './row-store.js'
import type { Turn } from './turn.js'

/**
 * How many of n rows a code may hold: the whole rows of its share, but as many as it takes to share all out among k codes. (A
 * share such as 0.07 of 100 rows is 7 of them, though the product is above that.)
 */
export function mostRows(share: number, n: number, k: number): number {
  return Math.max(Math.floor(share * n * (1 + 1e-12)), Math.ceil(n / k))
}

/** k-means whose codes hold at most `most` rows each. */
export async function balancedStage(
  store: RowStore,
  start: Float32Array,
  { k, maxIter, tol, turn, onIteration }: StageOptions,
  most: number,
): Promise<Stage> {
  const { dim, count } = store
  const codes = new Int32Array(count)
  const prices = new Float64Array(k)
  const sums = new ClusterSums({ k, dim: dim + 1 })
  let centroids = start
  let before = Number.POSITIVE_INFINITY
  let inertia = 0
  for (let iteration = 1; iteration <= maxIter; iteration++) {
    sums.reset()
    const priced = withPrices(centroids, prices, dim)
    for (let b = 0; b < store.blocks; b++) {
      await turn.pass()
      store.visit(b, (rows, first) => {
        codes.set(sums.add(lifted(rows, dim), priced), first)
        return false
      })
    }
    inertia = sums.inertia - prices.reduce((total, p, c) => total + p * sums.counts[c], 0)
    await onIteration({ iteration, inertia, next: { centroids: start, iteration: 0 } })
    const excess = sums.counts.reduce((most_, c) => Math.max(most_, c - most), 0)
    if (excess <= 0 && Math.abs(before - inertia) <= tol * inertia) break
    before = inertia
    const means = sums.means(priced)
    centroids = centroids.map((_, i) => means[Math.floor(i / dim) * (dim + 1) + (i % dim)])
    const step = inertia / count / Math.sqrt(iteration)
    for (let c = 0; c < k; c++) prices[c] = Math.max(0, prices[c] + step * (sums.counts[c] / most - 1))
  }
  await moveExcess(store, centroids, codes, most, turn)
  return meansOf(store, centroids, codes, turn)
}

// Rows with a 0 behind, and centroids with √price: their squared distance is the rows' own plus the price.
function lifted(rows: Float32Array, dim: number): Float32Array {
  const n = rows.length / dim
  const out = new Float32Array(n * (dim + 1))
  for (let i = 0; i < n; i++) out.set(rows.subarray(i * dim, (i + 1) * dim), i * (dim + 1))
  return out
}
function withPrices(centroids: Float32Array, prices: Float64Array, dim: number): Float32Array {
  const out = lifted(centroids, dim)
  for (let c = 0; c < prices.length; c++) out[c * (dim + 1) + dim] = Math.sqrt(prices[c])
  return out
}

/** Changes codes until none has more than `most` rows, each time the row whose way to a code with room is cheapest. */
export async function moveExcess(
  store: RowStore,
  centroids: Float32Array,
  codes: Int32Array,
  most: number,
  turn: Turn,
): Promise<void> {
  const { dim } = store
  const k = centroids.length / dim
  const held = new Float64Array(k)
  for (const c of codes) held[c]++
  const full = Array.from({ length: k }, (_, c) => c).filter(c => held[c] > most)
  for (const from of full) {
    await turn.pass()
    const rows = Int32Array.from(codes.keys()).filter(i => codes[i] === from)
    const values = store.gather(rows)
    const costs = rows.length * k <= 1 << 22 ? distances(values, centroids, dim) : undefined
    const cheapest = (i: number): Move => {
      const all =
        costs?.subarray(i * k, (i + 1) * k) ??
        distances(values.subarray(i * dim, (i + 1) * dim), centroids, dim)
      let to = -1
      for (let c = 0; c < k; c++) if (held[c] < most && (to < 0 || all[c] < all[to])) to = c
      return { row: i, to, cost: all[to] - all[from] }
    }
    const moves = new Heap(Array.from(rows, (_, i) => cheapest(i)))
    for (let steps = 1; held[from] > most; steps++) {
      if (steps % 1024 === 0) await turn.pass()
      const move = moves.pop()
      if (held[move.to] >= most) {
        moves.push(cheapest(move.row))
        continue
      }
      codes[rows[move.row]] = move.to
      held[move.to]++
      held[from]--
    }
  }
}

function distances(rows: Float32Array, centroids: Float32Array, dim: number): Float64Array {
  const [n, k] = [rows.length / dim, centroids.length / dim]
  const out = new Float64Array(n * k)
  for (let i = 0; i < n; i++)
    for (let c = 0; c < k; c++) {
      let sum = 0
      for (let d = 0; d < dim; d++) sum += (rows[i * dim + d] - centroids[c * dim + d]) ** 2
      out[i * k + c] = sum
    }
  return out
}

/** The means of the codes as they are, and the inertia around them. */
async function meansOf(
  store: RowStore,
  centroids: Float32Array,
  codes: Int32Array,
  turn: Turn,
): Promise<Stage> {
  const { dim } = store
  const k = centroids.length / dim
  const [sums, counts] = [new Float64Array(k * dim), new Float64Array(k)]
  const everyRow = async (see: (rows: Float32Array, at: number, c: number) => void): Promise<void> => {
    for (let b = 0; b < store.blocks; b++) {
      await turn.pass()
      store.visit(b, (rows, first) => {
        for (let i = 0; i < rows.length / dim; i++) see(rows, i * dim, codes[first + i])
        return false
      })
    }
  }
  await everyRow((rows, at, c) => {
    counts[c]++
    for (let d = 0; d < dim; d++) sums[c * dim + d] += rows[at + d]
  })
  const means = centroids.map((x, i) => {
    const n = counts[Math.floor(i / dim)]
    return n > 0 ? sums[i] / n : x
  })
  let inertia = 0
  await everyRow((rows, at, c) => {
    for (let d = 0; d < dim; d++) inertia += (rows[at + d] - means[c * dim + d]) ** 2
  })
  return { centroids: means, codes, inertia }
}
