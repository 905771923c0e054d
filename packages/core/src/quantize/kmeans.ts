import { expectConfig, expectInteger, expectNumber, expectOneOf, expectShape } from '../check.js'
import { DeviceArray, discard, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { VqAbortError } from '../errors.js'
import type { NativeCore } from '../native.js'
import { rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow, expectSignal } from './call.js'
import type { NativeKmeansOptions } from './native.js'

export interface KmeansOptions extends CallOptions {
  /** Number of centroids, 1 to N. */
  k: number
  /** Length of a row. */
  dim: number
  /** Most updates of the centroids. Default 25. */
  iterations?: number
  /**
   * Stop when the centroids' summed squared shift is at most this times the mean variance of the dimensions. 0 stops only
   * when no assignment changes. Default 1e-4.
   */
  tolerance?: number
  /** Starting centroids: drawn by k-means++ (default), distinct random rows, or given as [k, dim]. */
  init?: 'random' | 'k-means++' | Float32Array
  /** Fixes every draw. Default 0. */
  seed?: number
  /** Rows and centroids are kept at norm 1. Default false. */
  spherical?: boolean
  /** [N], how much each row counts: finite, at least 0. */
  weights?: Float32Array
  /**
   * Ascending numbers below `dim`: k-means of so many leading elements of the rows first, each from the clusters of the one
   * before, `iterations` updates at each; the last one's clusters are where whole rows start from. A good start where rows are
   * given along their principal axes. On the processor, not with `spherical` or given centroids. Source: after Liu, Lu, Shao
   * 2015, https://arxiv.org/abs/1509.05195.
   */
  leading?: readonly number[]
}

export type AsyncKmeansOptions = KmeansOptions &
  AsyncCallOptions & { onProgress?: (progress: KmeansProgress) => void }

export interface KmeansProgress {
  /** Assignments made so far, from 1. */
  iteration: number
  iterations: number
  /** Of the latest assignment. */
  inertia: number
}

export interface KmeansResult {
  /** [k, dim] */
  centroids: Float32Array
  /** [N], the nearest of these centroids. */
  assignments: Int32Array
  /** Σ weight · squared distance of each row to its centroid. */
  inertia: number
  /** The inertia of every assignment, the final one last. Never increases but for rounding. */
  history: number[]
  /** Stopped before `iterations` because nothing moved any more. */
  converged: boolean
}

/** The same on the device. */
export interface DeviceKmeansResult extends Omit<KmeansResult, 'centroids' | 'assignments'> {
  centroids: DeviceArray
  assignments: DeviceArray<Int32Array>
}

/**
 * Lloyd's k-means off the main thread. vectors: [N, dim]; copied when it is called. Assignment follows {@link nearest},
 * sums run in double precision in ascending row order: the seed fixes the result to the bit, whatever the machine. A
 * centroid left without rows takes the farthest row of the heaviest cluster. The signal is looked at between blocks of rows.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row that is not finite; AbortError.
 * Sources: Lloyd 1982; Arthur and Vassilvitskii 2007 (k-means++).
 */
export function kmeans(vectors: Float32Array, options: AsyncKmeansOptions): Promise<KmeansResult>
export function kmeans(vectors: DeviceArray, options: AsyncKmeansOptions): Promise<DeviceKmeansResult>
export async function kmeans(
  vectors: Float32Array | DeviceArray,
  options: AsyncKmeansOptions,
): Promise<KmeansResult | DeviceKmeansResult> {
  const { run, finish, iterations } = prepare('kmeans', vectors, options, true)
  const { onProgress, signal } = options
  expectSignal('kmeans', signal)
  expectConfig(
    onProgress === undefined || typeof onProgress === 'function',
    'kmeans',
    'onProgress to be a function',
    onProgress,
    'Pass a function or leave it out.',
  )
  if (onProgress === undefined) return await callAsync('kmeans', options, run, finish)

  // An error in the callback ends the run and is thrown to the caller.
  const stop = new AbortController()
  const failed: { error?: unknown }[] = []
  let told = 0
  let over = false
  const tell = (iteration: number, inertia: number): void => {
    if (over || failed.length > 0 || signal?.aborted) return
    told = iteration + 1
    try {
      onProgress({ iteration: told, iterations, inertia })
    } catch (error) {
      failed.push({ error })
      stop.abort()
    }
  }
  const signals = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  try {
    const result = await callAsync(
      'kmeans',
      { ...options, signal: signals },
      (core, threads) => run(core, threads, tell),
      finish,
    )
    // Reports still on their way would come after the promise: give them now.
    for (let i = told; i < result.history.length; i++) tell(i, result.history[i])
    if (failed.length > 0 || signal?.aborted) discard(result)
    if (failed.length > 0) throw failed[0].error
    if (signal?.aborted) throw new VqAbortError('kmeans', signal.reason)
    return result
  } catch (error) {
    throw failed.length > 0 ? failed[0].error : error
  } finally {
    over = true
  }
}

/** As {@link kmeans}, on this thread. */
export function kmeansSync(vectors: Float32Array, options: KmeansOptions): KmeansResult
export function kmeansSync(vectors: DeviceArray, options: KmeansOptions): DeviceKmeansResult
export function kmeansSync(
  vectors: Float32Array | DeviceArray,
  options: KmeansOptions,
): KmeansResult | DeviceKmeansResult {
  const { run, finish } = prepare('kmeansSync', vectors, options, false)
  return finish(callNow('kmeansSync', options, run))
}

interface Call {
  run(core: NativeCore, threads: number, progress?: (iteration: number, inertia: number) => void): unknown
  finish(found: unknown): KmeansResult | DeviceKmeansResult
  iterations: number
}

function prepare(
  operation: string,
  vectors: Float32Array | DeviceArray,
  options: KmeansOptions,
  async: boolean,
): Call {
  const { k, dim, iterations = 25, tolerance = 1e-4, init = 'k-means++' } = options ?? {}
  const { seed = 0, spherical = false, weights, leading = [], device } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectInteger(operation, 'k', k, 1)
  expectInteger(operation, 'iterations', iterations, 0, 1e9)
  expectNumber(operation, 'tolerance', tolerance, 0, Number.MAX_VALUE)
  expectInteger(operation, 'seed', seed, 0)
  expectConfig(
    typeof spherical === 'boolean',
    operation,
    'spherical to be true or false',
    spherical,
    'Pass one of these.',
  )
  const place = placeOf(operation, device, [vectors])
  expectConfig(
    Array.isArray(leading) &&
      leading.every((w, i) => Number.isSafeInteger(w) && w > (leading[i - 1] ?? 0) && w < dim),
    operation,
    `leading to be ascending integers from 1 to ${dim - 1}`,
    leading,
    'Pass numbers of leading elements, such as [1, 2, 4, 8].',
  )
  expectConfig(
    leading.length === 0 || (typeof init === 'string' && !spherical && place === undefined),
    operation,
    'leading without given centroids, without spherical and on the processor',
    leading,
    'Leave one of them out.',
  )
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const n = rowsOf(operation, 'vectors', x, dim)
  expectConfig(n >= k, operation, `k to be at most the ${n} rows`, k, 'Pass more rows or a smaller k.')
  let start: Float32Array | null = null
  if (typeof init !== 'object') expectOneOf(operation, 'init', init, ['random', 'k-means++'])
  else {
    start = typedArray(operation, 'init', init, 'Float32Array')
    const text = `${start.length} numbers`
    expectShape(start.length === k * dim, operation, `init of [${k}, ${dim}]`, text, 'Pass k rows of dim.')
  }
  let w: Float32Array | null = null
  if (weights !== undefined) {
    w = typedArray(operation, 'weights', weights, 'Float32Array')
    expectShape(w.length === n, operation, `${n} weights`, String(w.length), 'Pass one weight per row.')
  }
  const to: NativeKmeansOptions = {
    dim,
    k,
    iterations,
    tolerance,
    init: start !== null ? 2 : init === 'random' ? 0 : 1,
    start,
    seedLow: seed % 2 ** 32,
    seedHigh: Math.floor(seed / 2 ** 32),
    spherical,
    weights: w,
    leading,
  }
  const stays = vectors instanceof DeviceArray
  const onDevice = (found: Record<'centroids' | 'assignments', number>): object => ({
    centroids: DeviceArray.adopt<Float32Array>(found.centroids, k * dim, 'Float32Array'),
    assignments: DeviceArray.adopt<Int32Array>(found.assignments, n, 'Int32Array'),
  })
  return {
    iterations,
    run: (core, threads, progress) =>
      place === undefined
        ? core.kmeans(x.native as Float32Array, to, threads, async, progress)
        : core.cudaKmeans(place, x.native, to, stays, async, progress),
    finish: found => (stays ? { ...(found as object), ...onDevice(found as never) } : found) as KmeansResult,
  }
}
