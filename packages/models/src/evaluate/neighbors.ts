// Lists of the k nearest, the nearest first; of equal distances the lowest index comes first. Candidates must come in ascending
// order of their index. Distances are float64 differences, not products: equal rows are at exactly 0, and ties are real ones.
// Core's `nearest` does not serve here: it ranks in float32 by products, and gives the first only.
import { type Rows, squaredDistance } from './rows.js'

export interface NeighborLists {
  /** [N, k] */
  indices: Int32Array
  /** [N, k] */
  distances: Float64Array
  k: number
}

export function emptyLists(n: number, k: number): NeighborLists {
  return {
    indices: new Int32Array(n * k).fill(-1),
    distances: new Float64Array(n * k).fill(Number.POSITIVE_INFINITY),
    k,
  }
}

/** Takes candidate `index` into list `row`, if it is nearer than the last there. */
export function offer(
  { indices, distances, k }: NeighborLists,
  row: number,
  index: number,
  distance: number,
): void {
  const first = row * k
  let at = first + k - 1
  if (!(distance < distances[at])) return
  for (; at > first && distance < distances[at - 1]; at--) {
    distances[at] = distances[at - 1]
    indices[at] = indices[at - 1]
  }
  distances[at] = distance
  indices[at] = index
}

/** The k nearest other rows of each row, [N, k], by Euclidean distance. Each pair is computed once; there is no matrix. */
export function nearestOthers({ values, n, dim }: Rows, k: number): NeighborLists {
  const lists = emptyLists(n, k)
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      const distance = squaredDistance(values, i * dim, values, j * dim, dim)
      offer(lists, i, j, distance)
      offer(lists, j, i, distance)
    }
  return lists
}
