import { expectInteger, expectOneOf } from '../check.js'
import { codesOf, rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import type { QuantizeCore } from './native.js'

/** How near is measured: Euclidean, by angle, or by inner product. */
export type Metric = 'l2' | 'cosine' | 'dot'
/** In the order of the native enumeration. */
export const metrics: readonly Metric[] = ['l2', 'cosine', 'dot']

export interface NearestOptions extends CallOptions {
  /** Length of a row. */
  dim: number
  /** Default 'l2'. */
  metric?: Metric
}

export interface NearestResult {
  /** [N], the code of each row. */
  indices: Int32Array
  /**
   * [N]: squared distance for l2, 1 − cosine for cosine, the product for dot (where larger is nearer). Infinity where the
   * squared norm of a row overflows float32; its code is right all the same.
   */
  distances: Float32Array
}

/**
 * Nearest code of every row. vectors: [N, dim]; codebook: [K, dim], both row by row.
 *
 * Scores are b_k − Σ x_d·e_kd in float32 by fused multiply-add in ascending d (b_k = ½‖e_k‖² for l2, else 0); the smallest
 * wins, ties go to the lowest code. The same bits on every instruction set, for every thread count and split of the rows.
 * The extra memory is the packed codebook and less than 1 MB.
 *
 * Errors: VqConfigError (types, options), VqShapeError (lengths), VqValueError for a code that is not finite, and for a
 * row without a nearest code, naming the first: it holds a NaN or an infinity, or its scores overflow float32.
 *
 * @example
 * nearest(Float32Array.of(0, 1, 5, 5), Float32Array.of(0, 0, 4, 4), { dim: 2 })
 * // { indices: [0, 1], distances: [1, 2] }
 */
export function nearest(
  vectors: Float32Array,
  codebook: Float32Array,
  options: NearestOptions,
): NearestResult {
  return callNow('nearest', options, prepare('nearest', vectors, codebook, options, false))
}

/** As {@link nearest}, off the main thread. The inputs are copied when it is called. */
export async function nearestAsync(
  vectors: Float32Array,
  codebook: Float32Array,
  options: NearestOptions & AsyncCallOptions,
): Promise<NearestResult> {
  const call = prepare('nearestAsync', vectors, codebook, options, true)
  return callAsync('nearestAsync', options, call)
}

function prepare(
  operation: string,
  vectors: Float32Array,
  codebook: Float32Array,
  options: NearestOptions,
  async: boolean,
): (core: QuantizeCore, threads: number) => unknown {
  const { dim, metric = 'l2' } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectOneOf(operation, 'metric', metric, metrics)
  const x = typedArray(operation, 'vectors', vectors, 'Float32Array')
  const codes = typedArray(operation, 'codebook', codebook, 'Float32Array')
  rowsOf(operation, 'vectors', x, dim)
  codesOf(operation, 'codebook', codes, dim)
  return (core, threads) => core.nearest(x, codes, dim, metrics.indexOf(metric), threads, async)
}
