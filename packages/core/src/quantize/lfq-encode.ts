import { expectConfig, expectInteger, expectNumber } from '../check.js'
import type { DeviceArray } from '../cuda/device-array.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import {
  type CodesAndValues,
  type DeviceCodesAndValues,
  decodeWith,
  type RowsCall,
  rowsCall,
} from './lattice-call.js'

export interface LfqOptions extends CallOptions {
  /** Bits of a code, one per dimension, 1 to 31. */
  dim: number
  /** What a bit stands for: +scale or −scale. Default 1. */
  scale?: number
}

type Rows = Float32Array | DeviceArray

/**
 * Codes of rows by lookup-free quantization. vectors: [N, D] row by row; bit j of a code is z_j > 0, the first dimension
 * being the highest bit. A DeviceArray as vectors gives one.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 * Source: Yu et al. 2023, https://arxiv.org/abs/2310.05737, equations 3 and 4.
 *
 * @example
 * lfqEncode(Float32Array.of(0.3, -2, 0, 5), { dim: 2 }) // [2, 1]
 */
export function lfqEncode(vectors: Float32Array, options: LfqOptions): Int32Array
export function lfqEncode(vectors: DeviceArray, options: LfqOptions): DeviceArray<Int32Array>
export function lfqEncode(vectors: Rows, options: LfqOptions): Int32Array | DeviceArray<Int32Array> {
  return lfqRows('lfqEncode', vectors, options, 0)
}

/** As {@link lfqEncode}, off the main thread. Typed arrays are copied when it is called. */
export function lfqEncodeAsync(
  vectors: Float32Array,
  options: LfqOptions & AsyncCallOptions,
): Promise<Int32Array>
export function lfqEncodeAsync(
  vectors: DeviceArray,
  options: LfqOptions & AsyncCallOptions,
): Promise<DeviceArray<Int32Array>>
export async function lfqEncodeAsync(
  vectors: Rows,
  options: LfqOptions & AsyncCallOptions,
): Promise<Int32Array | DeviceArray<Int32Array>> {
  const call = prepare('lfqEncodeAsync', vectors, options, 0, true)
  return await callAsync(
    'lfqEncodeAsync',
    options,
    call.run,
    call.finish<Int32Array | DeviceArray<Int32Array>>,
  )
}

/**
 * Codes and values in one pass; both are those of {@link lfqEncode} and {@link lfqDecode}.
 *
 * @example
 * lfqQuantizeRows(Float32Array.of(0.3, -2), { dim: 2, scale: 0.5 }) // { indices: [2], quantized: [0.5, -0.5] }
 */
export function lfqQuantizeRows(vectors: Float32Array, options: LfqOptions): CodesAndValues
export function lfqQuantizeRows(vectors: DeviceArray, options: LfqOptions): DeviceCodesAndValues
export function lfqQuantizeRows(vectors: Rows, options: LfqOptions): CodesAndValues | DeviceCodesAndValues {
  return lfqRows('lfqQuantizeRows', vectors, options, 1)
}

/** What is asked of the rows: 0 their codes, 1 codes and values. */
export function lfqRows<T>(operation: string, vectors: Rows, options: LfqOptions, what: 0 | 1): T {
  const call = prepare(operation, vectors, options, what, false)
  return call.finish<T>(callNow(operation, options, call.run))
}

/** Values of codes, [N] to [N, dim], each +scale or −scale. Throws VqValueError for a code that there is not. */
export function lfqDecode(indices: Int32Array, options: LfqOptions): Float32Array
export function lfqDecode(indices: DeviceArray<Int32Array>, options: LfqOptions): DeviceArray
export function lfqDecode(indices: Int32Array | DeviceArray<Int32Array>, options: LfqOptions): Rows {
  const { dim, scale } = settings('lfqDecode', options)
  return decodeWith(
    'lfqDecode',
    indices,
    { options, dim, size: 2 ** dim },
    {
      cpu: (core, codes, threads) => core.lfqDecode(codes, dim, scale, threads, false),
      cuda: (core, place, codes, stays) => core.cudaLfqDecode(place, codes, dim, scale, stays),
    },
  )
}

function settings(operation: string, options: LfqOptions): { dim: number; scale: number } {
  const { dim, scale = 1 } = options ?? {}
  expectBits(operation, dim)
  expectNumber(operation, 'scale', scale, Number.MIN_VALUE, Number.MAX_VALUE)
  return { dim, scale }
}

/** Throws VqConfigError unless codes of that many bits are int32. */
export function expectBits(operation: string, dim: unknown): asserts dim is number {
  expectInteger(operation, 'dim', dim, 1)
  expectConfig(
    dim <= 31,
    operation,
    'at most 31 bits, since codes are int32',
    dim,
    'Split the dimensions into several codebooks (numCodebooks of LFQ), each with its own code.',
  )
}

function prepare(
  operation: string,
  vectors: Rows,
  options: LfqOptions,
  what: 0 | 1,
  async: boolean,
): RowsCall {
  const { dim, scale } = settings(operation, options)
  return rowsCall(
    operation,
    vectors,
    { ...options, dim, what },
    {
      cpu: (core, x, threads) => core.lfqEncode(x, dim, scale, what, threads, async),
      cuda: (core, place, x, stays) => core.cudaLfqEncode(place, x, dim, scale, what, stays, async),
    },
  )
}
