import { expectConfig, expectInteger, expectNumber } from '../check.js'
import { rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import { expectCodes } from './fsq-encode.js'

export interface LfqOptions extends Omit<CallOptions, 'device'> {
  /** Bits of a code, one per dimension, 1 to 31. */
  dim: number
  /** What a bit stands for: +scale or −scale. Default 1. */
  scale?: number
}

/**
 * Codes of rows by lookup-free quantization. vectors: [N, D] row by row; bit j of a code is z_j > 0, the first dimension
 * being the highest bit.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 * Source: Yu et al. 2023, https://arxiv.org/abs/2310.05737, equations 3 and 4.
 *
 * @example
 * lfqEncode(Float32Array.of(0.3, -2, 0, 5), { dim: 2 }) // [2, 1]
 */
export function lfqEncode(vectors: Float32Array, options: LfqOptions): Int32Array {
  return lfqRows<Int32Array>('lfqEncode', vectors, options, 0)
}

/** As {@link lfqEncode}, off the main thread. The vectors are copied when it is called. */
export async function lfqEncodeAsync(
  vectors: Float32Array,
  options: LfqOptions & AsyncCallOptions,
): Promise<Int32Array> {
  const { dim, scale, x } = prepare('lfqEncodeAsync', vectors, options)
  return callAsync('lfqEncodeAsync', options, (core, threads) =>
    core.lfqEncode(x, dim, scale, 0, threads, true),
  )
}

/** What is asked of the rows: 0 their codes, 1 codes and values. */
export function lfqRows<T>(operation: string, vectors: Float32Array, options: LfqOptions, what: 0 | 1): T {
  const { dim, scale, x } = prepare(operation, vectors, options)
  return callNow(operation, options, (core, threads) => core.lfqEncode(x, dim, scale, what, threads, false))
}

/** Values of codes, [N] to [N, dim], each +scale or −scale. Throws VqValueError for a code that there is not. */
export function lfqDecode(indices: Int32Array, options: LfqOptions): Float32Array {
  const { dim, scale } = settings('lfqDecode', options)
  const codes = typedArray('lfqDecode', 'indices', indices, 'Int32Array')
  expectCodes('lfqDecode', codes, 2 ** dim)
  return callNow('lfqDecode', options, (core, threads) => core.lfqDecode(codes, dim, scale, threads, false))
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
  vectors: Float32Array,
  options: LfqOptions,
): { dim: number; scale: number; x: Float32Array } {
  const { dim, scale } = settings(operation, options)
  const x = typedArray(operation, 'vectors', vectors, 'Float32Array')
  rowsOf(operation, 'vectors', x, dim)
  return { dim, scale, x }
}
