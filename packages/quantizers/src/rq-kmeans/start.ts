import { kmeansSync, type Random } from '@vq/core'
import { alongPrincipalAxes } from './principal-axes.js'
import type { RowStore } from './row-store.js'

export const starts = ['auto', 'k-means++', 'progressive'] as const
/** Where the centroids of a stage start. */
export type StageStart = (typeof starts)[number]

// Most updates of k-means at each number of dimensions. They end where the centroids move by less than a twentieth of a
// dimension's deviation, in the mean: the next dimensions move them anyway. Few centroids, which cost little, settle further.
const updates = 10
const near = (k: number): number => (k / 400) * Math.min(1, k / 256)
// Updates after which two starts are compared.
const tried = 4
// Most numbers in a sample of a progressive start.
const most = 2 ** 25

/**
 * Starting centroids [K, dim], from a sample of the rows.
 *
 * 'k-means++' (Arthur and Vassilvitskii 2007): of 32 rows per centroid; finds clusters that lie apart. 'progressive' (after Liu,
 * Lu, Shao 2015, "Improved residual vector quantization for high-dimensional approximate nearest neighbor search",
 * https://arxiv.org/abs/1509.05195, which clusters in subspaces first): k-means along the first principal axis, then from there
 * along more and more of them; better where there are no clusters but directions of different variance. Of 256 rows per
 * centroid, at most 128 MB of them. 'auto': both, and four updates of each on 32 rows per centroid tell which goes on.
 */
export function startStage(store: RowStore, k: number, kind: StageStart, random: Random): Float32Array {
  const { dim } = store
  const sampled = (rows: number): Float32Array => store.gather(sampleRows(store.count, rows, random))
  const many = Math.max(8 * k, Math.min(256 * k, Math.floor(most / dim)))
  const start = kind === 'k-means++' ? undefined : progressive(sampled(many), dim, k, random)
  if (kind === 'progressive' && start !== undefined) return start
  const some = sampled(Math.max(32 * k, 1 << 13))
  const plusPlus = { k, dim, seed: random.integer(2 ** 32) }
  if (start === undefined) return kmeansSync(some, { ...plusPlus, iterations: 0 }).centroids
  const own = { iterations: tried, tolerance: 0 }
  const other = kmeansSync(some, { ...plusPlus, ...own })
  return kmeansSync(some, { k, dim, init: start, ...own }).inertia < other.inertia ? start : other.centroids
}

function progressive(rows: Float32Array, dim: number, k: number, random: Random): Float32Array {
  // Each about half as many again as the one before, and ten at least.
  const steps = Math.max(10, Math.ceil(2.4 * Math.log(dim)))
  const widths = Array.from({ length: steps }, (_, i) => Math.floor(dim ** ((i + 1) / steps) + 1e-9))
  const narrower = widths.filter((width, i) => width < dim && width > (widths[i - 1] ?? 0))
  const { values, count } = alongPrincipalAxes(rows, dim, narrower.at(-1) ?? 0, random)
  const seed = random.integer(2 ** 32)
  if (count === 0) return kmeansSync(rows, { k, dim, iterations: 0, seed }).centroids
  const leading = narrower.filter(width => width < count)
  const { assignments } = kmeansSync(values, {
    k,
    dim: count,
    leading,
    iterations: updates,
    tolerance: near(k),
    seed,
  })
  return meansOf(rows, dim, k, assignments, random)
}

/** The mean of each code's rows [N, dim]; a code without rows takes one of them. */
function meansOf(
  rows: Float32Array,
  dim: number,
  k: number,
  codes: Int32Array,
  random: Random,
): Float32Array {
  const sums = new Float64Array(k * dim)
  const counts = new Float64Array(k)
  for (let i = 0, from = 0; i < codes.length; i++) {
    const to = codes[i] * dim
    counts[codes[i]]++
    for (let d = 0; d < dim; d++) sums[to + d] += rows[from++]
  }
  const means = new Float32Array(k * dim)
  for (let c = 0; c < k; c++) {
    const row = counts[c] === 0 ? random.integer(codes.length) : 0
    for (let d = 0; d < dim; d++)
      means[c * dim + d] = counts[c] > 0 ? sums[c * dim + d] / counts[c] : rows[row * dim + d]
  }
  return means
}

/** At most `most` different rows of n, ascending. */
export function sampleRows(n: number, most: number, random: Random): Int32Array {
  if (n <= most) {
    const all = new Int32Array(n)
    for (let i = 0; i < n; i++) all[i] = i
    return all
  }
  // Floyd's: every set equally likely.
  const picked = new Set<number>()
  for (let i = n - most; i < n; i++) {
    const pick = random.integer(i + 1)
    picked.add(picked.has(pick) ? i : pick)
  }
  return Int32Array.from(picked).sort()
}
