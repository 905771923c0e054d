import { expectConfig } from '../check.js'
import { VqValueError } from '../errors.js'
import { rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import { codesOfLevels, type FsqBound, fsqBounds } from './levels.js'

export interface FsqOptions extends Omit<CallOptions, 'device'> {
  /** Levels of each dimension, 2 to 65536; their product, the number of codes, is at most 2^31 − 1. */
  levels: readonly number[]
  /** Default 'original'. */
  bound?: FsqBound
}

/**
 * Codes of rows by finite scalar quantization. vectors: [N, D] row by row, D = levels.length. Dimension i is bounded and
 * rounded (half to even) to one of L_i levels ℓ_i from 0 to L_i − 1; the code is Σ ℓ_i·Π_{j<i} L_j.
 *
 * With 'original' the bound is tanh(z + tan(o/h))·h − o, h = (L − 1)(1 − 10⁻³)/2, o = ½ for even L, else 0, and the value of
 * what is rounded is divided by ⌊L/2⌋; with 'symmetric' (L − 1)(tanh(z) + 1)/2 is rounded and scaled to −1 … 1.
 * tanh is made of float32 additions, multiplications and divisions: the codes are the same on every machine.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 * Source: Mentzer et al. 2023, https://arxiv.org/abs/2309.15505, appendix A.1; 'symmetric': Parker et al. 2024,
 * https://arxiv.org/abs/2411.19842, section 3.2.
 *
 * @example
 * fsqEncode(Float32Array.of(-9, 0, 9, 9), { levels: [3, 5] }) // [6, 14]: levels (0, 2) and (2, 4)
 */
export function fsqEncode(vectors: Float32Array, options: FsqOptions): Int32Array {
  return encodeRows<Int32Array>('fsqEncode', vectors, options, 0)
}

/** As {@link fsqEncode}, off the main thread. The vectors are copied when it is called. */
export async function fsqEncodeAsync(
  vectors: Float32Array,
  options: FsqOptions & AsyncCallOptions,
): Promise<Int32Array> {
  const operation = 'fsqEncodeAsync'
  const { levels, bound, x } = prepare(operation, vectors, options)
  return callAsync(operation, options, (core, threads) => core.fsqEncode(x, levels, bound, 0, threads, true))
}

/** What is asked of the rows: 0 their codes, 1 codes and values, 2 the bounded values that would be rounded. */
export function encodeRows<T>(
  operation: string,
  vectors: Float32Array,
  options: FsqOptions,
  what: 0 | 1 | 2,
): T {
  const { levels, bound, x } = prepare(operation, vectors, options)
  return callNow(operation, options, (core, threads) =>
    core.fsqEncode(x, levels, bound, what, threads, false),
  )
}

/** Values of codes, [N] to [N, levels.length]. Throws VqValueError for a code that there is not. */
export function fsqDecode(indices: Int32Array, options: FsqOptions): Float32Array {
  const { levels, bound = 'original' } = options ?? {}
  const size = codesOfLevels('fsqDecode', levels, bound)
  const codes = typedArray('fsqDecode', 'indices', indices, 'Int32Array')
  expectCodes('fsqDecode', codes, size)
  return callNow('fsqDecode', options, (core, threads) =>
    core.fsqDecode(codes, levels as number[], fsqBounds.indexOf(bound), threads, false),
  )
}

/** Throws VqValueError unless every code is from 0 to size − 1. */
export function expectCodes(operation: string, codes: Int32Array, size: number): void {
  const bad = codes.findIndex(c => c < 0 || c >= size)
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: `codes from 0 to ${size - 1}`,
      received: `${codes[bad]} at place ${bad}`,
      remedy: 'Decode with the settings that the codes were made with.',
    })
}

function prepare(
  operation: string,
  vectors: Float32Array,
  options: FsqOptions,
): { levels: number[]; bound: number; x: Float32Array } {
  expectConfig(
    typeof options === 'object' && options !== null,
    operation,
    'options with levels',
    options,
    'Pass { levels: [8, 5, 5, 5] }.',
  )
  const { levels, bound = 'original' } = options
  codesOfLevels(operation, levels, bound)
  const x = typedArray(operation, 'vectors', vectors, 'Float32Array')
  rowsOf(operation, 'vectors', x, levels.length)
  return { levels: [...levels], bound: fsqBounds.indexOf(bound), x }
}
