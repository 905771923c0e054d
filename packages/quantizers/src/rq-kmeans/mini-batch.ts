// Sculley 2010, "Web-scale k-means clustering", https://doi.org/10.1145/1772690.1772862, algorithm 1: a centroid is the mean
// of all rows that its batches gave it.
import { ClusterSums, type Random } from '@vq/core'
import { lloyd, type Stage, type StageOptions, squaredShift } from './lloyd.js'
import type { RowStore } from './row-store.js'
import { sampleRows } from './start.js'
import { varianceOf } from './variance.js'

// Batches whose smoothed shift decides about the end.
const patience = 10

/** `maxIter` batches of random rows, or until the centroids' smoothed shift is at most tol times their variance; then all rows. */
export async function miniBatch(
  store: RowStore,
  start: Float32Array,
  { k, maxIter, tol, turn, onIteration }: StageOptions,
  batchSize: number,
  random: Random,
): Promise<Stage> {
  const { dim } = store
  const seen = new Float64Array(k)
  let centroids = start
  let [shift, calm] = [Number.POSITIVE_INFINITY, 0]
  const close = tol * varianceOf(start, dim)
  for (let iteration = 1; iteration <= maxIter && calm < patience; iteration++) {
    await turn.pass()
    const batch = store.gather(sampleRows(store.count, batchSize, random))
    const sums = new ClusterSums({ k, dim })
    sums.add(batch, centroids)
    const inertia = sums.inertia * (store.count / Math.min(batchSize, store.count))
    await onIteration({ iteration, inertia, next: { centroids: start, iteration: 0 } })
    const next = Float32Array.from(centroids)
    for (let c = 0; c < k; c++) {
      if (sums.counts[c] === 0) continue
      seen[c] += sums.counts[c]
      for (let d = 0; d < dim; d++)
        next[c * dim + d] += (sums.sums[c * dim + d] - sums.counts[c] * centroids[c * dim + d]) / seen[c]
    }
    // A centroid that ten batches passed by begins again at a row of this one.
    if (iteration % patience === 0)
      for (let c = 0; c < k; c++) {
        if (seen[c] > 0) continue
        const row = random.integer(batch.length / dim)
        next.set(batch.subarray(row * dim, (row + 1) * dim), c * dim)
      }
    const now = squaredShift(centroids, next)
    shift = Number.isFinite(shift) ? 0.7 * shift + 0.3 * now : now
    calm = shift <= close ? calm + 1 : 0
    centroids = next
  }
  // One update by every row: means of all their rows are never worse than no stage at all, which those of batches can be.
  return lloyd(
    store,
    { centroids, iteration: 0 },
    { k, maxIter: 1, tol: 0, turn, onIteration: async () => {} },
  )
}
