import { expectConfig, expectInteger } from '@vq/core'

/**
 * How processes that train copies of one quantizer, each on its share of a batch, keep the copies alike. `sum` replaces
 * every array by its sum over all processes, element by element, and returns when that is done; all processes call it in
 * the same order, with arrays of the same lengths. The copies start from the same codes and the same generator.
 */
export interface Distributed {
  /** Number of this process, from 0. */
  rank: number
  /** Number of processes. */
  size: number
  sum(buffers: Float32Array[]): void
}

export function expectDistributed(name: string, distributed: Distributed | undefined): void {
  if (distributed === undefined) return
  expectInteger(name, 'distributed.size', distributed.size, 1)
  expectInteger(name, 'distributed.rank', distributed.rank, 0, distributed.size - 1)
  expectConfig(
    typeof distributed.sum === 'function',
    name,
    'distributed.sum to be a function',
    distributed.sum,
    'Pass a function that sums arrays over the processes.',
  )
}

/** The rows of all processes behind one another, in the order of their ranks. */
export function gatherRows({ rank, size, sum }: Distributed, rows: Float32Array, dim: number): Float32Array {
  const lengths = new Float32Array(size)
  lengths[rank] = rows.length / dim
  sum([lengths])
  const before = lengths.subarray(0, rank).reduce((a, b) => a + b, 0)
  const all = new Float32Array(lengths.reduce((a, b) => a + b, 0) * dim)
  all.set(rows, before * dim)
  sum([all])
  return all
}
