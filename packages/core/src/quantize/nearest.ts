import { expectInteger, expectOneOf } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import type { NativeCore } from '../native.js'
import { codesOf, rowsOf } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'

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

/** The same on the device. */
export interface DeviceNearestResult {
  indices: DeviceArray<Int32Array>
  distances: DeviceArray
}

/**
 * Nearest code of every row. vectors: [N, dim]; codebook: [K, dim], both row by row.
 *
 * Scores are b_k − Σ x_d·e_kd in float32 by fused multiply-add in ascending d (b_k = ½‖e_k‖² for l2, else 0); the smallest
 * wins, ties go to the lowest code. The same bits on every instruction set, for every thread count and split of the rows.
 * The extra memory is the packed codebook and less than 1 MB. A DeviceArray as vectors gives DeviceArrays.
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
  codebook: Float32Array | DeviceArray,
  options: NearestOptions,
): NearestResult
export function nearest(
  vectors: DeviceArray,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions,
): DeviceNearestResult
export function nearest(
  vectors: Float32Array | DeviceArray,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions,
): NearestResult | DeviceNearestResult {
  const call = prepare('nearest', vectors, codebook, options, false)
  return call.finish(callNow('nearest', options, call.run))
}

/** As {@link nearest}, off the main thread. Typed arrays are copied when it is called. */
export function nearestAsync(
  vectors: Float32Array,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions & AsyncCallOptions,
): Promise<NearestResult>
export function nearestAsync(
  vectors: DeviceArray,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions & AsyncCallOptions,
): Promise<DeviceNearestResult>
export async function nearestAsync(
  vectors: Float32Array | DeviceArray,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions & AsyncCallOptions,
): Promise<NearestResult | DeviceNearestResult> {
  const call = prepare('nearestAsync', vectors, codebook, options, true)
  return await callAsync('nearestAsync', options, call.run, call.finish)
}

interface Call {
  run(core: NativeCore, threads: number): unknown
  finish(found: { indices: unknown; distances: unknown }): NearestResult | DeviceNearestResult
}

function prepare(
  operation: string,
  vectors: Float32Array | DeviceArray,
  codebook: Float32Array | DeviceArray,
  options: NearestOptions,
  async: boolean,
): Call {
  const { dim, metric = 'l2', device } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectOneOf(operation, 'metric', metric, metrics)
  const place = placeOf(operation, device, [vectors, codebook])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const codes = operand<Float32Array>(operation, 'codebook', codebook, 'Float32Array')
  const n = rowsOf(operation, 'vectors', x, dim)
  codesOf(operation, 'codebook', codes, dim)
  const stays = vectors instanceof DeviceArray
  const number = metrics.indexOf(metric)
  return {
    run: (core, threads) =>
      place === undefined
        ? core.nearest(x.native as Float32Array, codes.native as Float32Array, dim, number, threads, async)
        : core.cudaNearest(place, x.native, codes.native, dim, number, stays, async),
    finish: found =>
      stays
        ? {
            indices: DeviceArray.adopt<Int32Array>(found.indices as number, n, 'Int32Array'),
            distances: DeviceArray.adopt<Float32Array>(found.distances as number, n, 'Float32Array'),
          }
        : (found as NearestResult),
  }
}
