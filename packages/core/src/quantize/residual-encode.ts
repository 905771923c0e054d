import { expectConfig, expectInteger } from '../check.js'
import { codesOf, rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'
import type { QuantizeCore } from './native.js'

export interface ResidualEncodeOptions extends CallOptions {
  /** Length of a row. */
  dim: number
  /** Paths kept per row and level, 1 to 1024. Default 1: each level takes the nearest code. */
  beam?: number
}

export interface ResidualEncodeResult {
  /** [N, Q], a code per level. */
  codes: Int32Array
  /** [N, dim], the chosen codes added in level order. */
  quantized: Float32Array
  /** [N], squared norm of what is left after the last level. */
  errors: Float32Array
}

/**
 * Residual quantization of every row by Q codebooks of [K_q, dim]: each level quantizes what the levels before it left.
 * With a beam every kept path proposes its `beam` nearest codes and the proposals with the smallest residual are kept,
 * ties to the lower code, then to the better-ranked parent.
 *
 * Errors as in {@link nearest}.
 * Source: Chen, Guan, Wang, "Approximate nearest neighbor search by residual vector quantization", Sensors 2010.
 */
export function residualEncode(
  vectors: Float32Array,
  codebooks: Float32Array[],
  options: ResidualEncodeOptions,
): ResidualEncodeResult {
  return callNow('residualEncode', options, prepare('residualEncode', vectors, codebooks, options, false))
}

/** As {@link residualEncode}, off the main thread. The inputs are copied when it is called. */
export async function residualEncodeAsync(
  vectors: Float32Array,
  codebooks: Float32Array[],
  options: ResidualEncodeOptions & AsyncCallOptions,
): Promise<ResidualEncodeResult> {
  const call = prepare('residualEncodeAsync', vectors, codebooks, options, true)
  return callAsync('residualEncodeAsync', options, call)
}

function prepare(
  operation: string,
  vectors: Float32Array,
  codebooks: Float32Array[],
  options: ResidualEncodeOptions,
  async: boolean,
): (core: QuantizeCore, threads: number) => unknown {
  const { dim, beam = 1 } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectInteger(operation, 'beam', beam, 1, 1024)
  const x = typedArray(operation, 'vectors', vectors, 'Float32Array')
  rowsOf(operation, 'vectors', x, dim)
  expectConfig(
    Array.isArray(codebooks) && codebooks.length > 0,
    operation,
    'codebooks to be an array with a Float32Array per level',
    codebooks,
    'Pass at least one codebook.',
  )
  // Not map, which skips holes.
  const books = Array.from(codebooks, (book, level) => {
    const codes = typedArray(operation, `codebooks[${level}]`, book, 'Float32Array')
    codesOf(operation, `codebooks[${level}]`, codes, dim)
    return codes
  })
  return (core, threads) => core.residualEncode(x, books, dim, beam, threads, async)
}
