import { expectConfig } from '../check.js'
import type { DeviceArray } from '../cuda/device-array.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import {
  type CodesAndValues,
  type DeviceCodesAndValues,
  decodeWith,
  type RowsCall,
  rowsCall,
} from './lattice-call.js'
import { codesOfLevels, type FsqBound, fsqBounds } from './levels.js'

export interface FsqOptions extends CallOptions {
  /** Levels of each dimension, 2 to 65536; their product, the number of codes, is at most 2^31 − 1. */
  levels: readonly number[]
  /** Default 'original'. */
  bound?: FsqBound
}

type Rows = Float32Array | DeviceArray

/**
 * Codes of rows by finite scalar quantization. vectors: [N, D] row by row, D = levels.length. Dimension i is bounded and
 * rounded (half to even) to one of L_i levels ℓ_i from 0 to L_i − 1; the code is Σ ℓ_i·Π_{j<i} L_j.
 *
 * With 'original' the bound is tanh(z + tan(o/h))·h − o, h = (L − 1)(1 − 10⁻³)/2, o = ½ for even L, else 0, and the value of
 * what is rounded is divided by ⌊L/2⌋; with 'symmetric' (L − 1)(tanh(z) + 1)/2 is rounded and scaled to −1 … 1.
 * tanh is made of float32 additions, multiplications and divisions: the codes are the same on every machine and device.
 * A DeviceArray as vectors gives one.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 * Source: Mentzer et al. 2023, https://arxiv.org/abs/2309.15505, appendix A.1; 'symmetric': Parker et al. 2024,
 * https://arxiv.org/abs/2411.19842, section 3.2.
 *
 * @example
 * fsqEncode(Float32Array.of(-9, 0, 9, 9), { levels: [3, 5] }) // [6, 14]: levels (0, 2) and (2, 4)
 */
export function fsqEncode(vectors: Float32Array, options: FsqOptions): Int32Array
export function fsqEncode(vectors: DeviceArray, options: FsqOptions): DeviceArray<Int32Array>
export function fsqEncode(vectors: Rows, options: FsqOptions): Int32Array | DeviceArray<Int32Array> {
  return encodeRows('fsqEncode', vectors, options, 0)
}

/** As {@link fsqEncode}, off the main thread. Typed arrays are copied when it is called. */
export function fsqEncodeAsync(
  vectors: Float32Array,
  options: FsqOptions & AsyncCallOptions,
): Promise<Int32Array>
export function fsqEncodeAsync(
  vectors: DeviceArray,
  options: FsqOptions & AsyncCallOptions,
): Promise<DeviceArray<Int32Array>>
export async function fsqEncodeAsync(
  vectors: Rows,
  options: FsqOptions & AsyncCallOptions,
): Promise<Int32Array | DeviceArray<Int32Array>> {
  const call = prepare('fsqEncodeAsync', vectors, options, 0, true)
  return await callAsync(
    'fsqEncodeAsync',
    options,
    call.run,
    call.finish<Int32Array | DeviceArray<Int32Array>>,
  )
}

/**
 * Codes and values in one pass; both are those of {@link fsqEncode} and {@link fsqDecode}.
 *
 * @example
 * fsqQuantizeRows(Float32Array.of(-9, 0), { levels: [3, 5] }) // { indices: [6], quantized: [-1, 0] }
 */
export function fsqQuantizeRows(vectors: Float32Array, options: FsqOptions): CodesAndValues
export function fsqQuantizeRows(vectors: DeviceArray, options: FsqOptions): DeviceCodesAndValues
export function fsqQuantizeRows(vectors: Rows, options: FsqOptions): CodesAndValues | DeviceCodesAndValues {
  return encodeRows('fsqQuantizeRows', vectors, options, 1)
}

/**
 * What {@link fsqEncode} rounds, on the scale of the values, [N, D].
 *
 * @example
 * fsqBoundRows(Float32Array.of(0.5), { levels: [3], bound: 'symmetric' }) // [0.46211714]: tanh(0.5)
 */
export function fsqBoundRows(vectors: Float32Array, options: FsqOptions): Float32Array
export function fsqBoundRows(vectors: DeviceArray, options: FsqOptions): DeviceArray
export function fsqBoundRows(vectors: Rows, options: FsqOptions): Rows {
  return encodeRows('fsqBoundRows', vectors, options, 2)
}

/** What is asked of the rows: 0 their codes, 1 codes and values, 2 the bounded values that would be rounded. */
export function encodeRows<T>(operation: string, vectors: Rows, options: FsqOptions, what: 0 | 1 | 2): T {
  const call = prepare(operation, vectors, options, what, false)
  return call.finish<T>(callNow(operation, options, call.run))
}

/** Values of codes, [N] to [N, levels.length]. Throws VqValueError for a code that there is not. */
export function fsqDecode(indices: Int32Array, options: FsqOptions): Float32Array
export function fsqDecode(indices: DeviceArray<Int32Array>, options: FsqOptions): DeviceArray
export function fsqDecode(indices: Int32Array | DeviceArray<Int32Array>, options: FsqOptions): Rows {
  const { levels, number, dim, size } = settings('fsqDecode', options)
  return decodeWith(
    'fsqDecode',
    indices,
    { options, dim, size },
    {
      cpu: (core, codes, threads) => core.fsqDecode(codes, levels, number, threads, false),
      cuda: (core, place, codes, stays) => core.cudaFsqDecode(place, codes, levels, number, stays),
    },
  )
}

/** The levels, checked, as native code takes them. */
export function settings(
  operation: string,
  options: FsqOptions,
): { levels: number[]; number: number; dim: number; size: number } {
  expectConfig(
    typeof options === 'object' && options !== null,
    operation,
    'options with levels',
    options,
    'Pass { levels: [8, 5, 5, 5] }.',
  )
  const { levels, bound = 'original' } = options
  const size = codesOfLevels(operation, levels, bound)
  return { levels: [...levels], number: fsqBounds.indexOf(bound), dim: levels.length, size }
}

function prepare(
  operation: string,
  vectors: Rows,
  options: FsqOptions,
  what: 0 | 1 | 2,
  async: boolean,
): RowsCall {
  const { levels, number, dim } = settings(operation, options)
  return rowsCall(
    operation,
    vectors,
    { ...options, dim, what },
    {
      cpu: (core, x, threads) => core.fsqEncode(x, levels, number, what, threads, async),
      cuda: (core, place, x, stays) => core.cudaFsqEncode(place, x, levels, number, what, stays, async),
    },
  )
}
