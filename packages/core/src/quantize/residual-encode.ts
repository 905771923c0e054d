import { expectConfig, expectInteger } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import type { NativeCore } from '../native.js'
import { codesOf, rowsOf } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'

export interface ResidualEncodeOptions extends CallOptions {
  /** Length of a row. */
  dim: number
  /** Paths kept per row and level, 1 to 1024. Default 1: each level takes the nearest code. */
  beam?: number
  /** Whether the result has `levelErrors`. Default false. */
  levelErrors?: boolean
}

export interface ResidualEncodeResult {
  /** [N, Q], a code per level. */
  codes: Int32Array
  /** [N, dim], the chosen codes added in level order. */
  quantized: Float32Array
  /** [N], squared norm of what is left after the last level. */
  errors: Float32Array
  /** [N, Q], squared norm of what is left after each level. */
  levelErrors?: Float32Array
}

/** The same on the device. */
export interface DeviceResidualEncodeResult {
  codes: DeviceArray<Int32Array>
  quantized: DeviceArray
  errors: DeviceArray
  levelErrors?: DeviceArray
}

export type Codebooks = readonly (Float32Array | DeviceArray)[]

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
  codebooks: Codebooks,
  options: ResidualEncodeOptions,
): ResidualEncodeResult
export function residualEncode(
  vectors: DeviceArray,
  codebooks: Codebooks,
  options: ResidualEncodeOptions,
): DeviceResidualEncodeResult
export function residualEncode(
  vectors: Float32Array | DeviceArray,
  codebooks: Codebooks,
  options: ResidualEncodeOptions,
): ResidualEncodeResult | DeviceResidualEncodeResult {
  const call = prepare('residualEncode', vectors, codebooks, options, false)
  return call.finish(callNow('residualEncode', options, call.run))
}

/** As {@link residualEncode}, off the main thread. Typed arrays are copied when it is called. */
export function residualEncodeAsync(
  vectors: Float32Array,
  codebooks: Codebooks,
  options: ResidualEncodeOptions & AsyncCallOptions,
): Promise<ResidualEncodeResult>
export function residualEncodeAsync(
  vectors: DeviceArray,
  codebooks: Codebooks,
  options: ResidualEncodeOptions & AsyncCallOptions,
): Promise<DeviceResidualEncodeResult>
export async function residualEncodeAsync(
  vectors: Float32Array | DeviceArray,
  codebooks: Codebooks,
  options: ResidualEncodeOptions & AsyncCallOptions,
): Promise<ResidualEncodeResult | DeviceResidualEncodeResult> {
  const call = prepare('residualEncodeAsync', vectors, codebooks, options, true)
  return await callAsync('residualEncodeAsync', options, call.run, call.finish)
}

interface Call {
  run(core: NativeCore, threads: number): unknown
  finish(
    found: Record<keyof ResidualEncodeResult, unknown>,
  ): ResidualEncodeResult | DeviceResidualEncodeResult
}

function prepare(
  operation: string,
  vectors: Float32Array | DeviceArray,
  codebooks: Codebooks,
  options: ResidualEncodeOptions,
  async: boolean,
): Call {
  const { dim, beam = 1, levelErrors = false, device } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectInteger(operation, 'beam', beam, 1, 1024)
  expectConfig(
    typeof levelErrors === 'boolean',
    operation,
    'levelErrors to be true or false',
    levelErrors,
    'Pass one of these.',
  )
  const place = placeOf(operation, device, [vectors, ...(Array.isArray(codebooks) ? codebooks : [])])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const n = rowsOf(operation, 'vectors', x, dim)
  expectConfig(
    Array.isArray(codebooks) && codebooks.length > 0,
    operation,
    'codebooks to be an array with a Float32Array per level',
    codebooks,
    'Pass at least one codebook.',
  )
  // Not map, which skips holes.
  const books = Array.from(codebooks, (book, level) => {
    const codes = operand<Float32Array>(operation, `codebooks[${level}]`, book, 'Float32Array')
    codesOf(operation, `codebooks[${level}]`, codes, dim)
    return codes.native
  })
  const stays = vectors instanceof DeviceArray
  return {
    run: (core, threads) =>
      place === undefined
        ? core.residualEncode(
            x.native as Float32Array,
            books as Float32Array[],
            dim,
            beam,
            levelErrors,
            threads,
            async,
          )
        : core.cudaResidualEncode(place, x.native, books, dim, beam, levelErrors, stays, async),
    finish: found =>
      stays
        ? {
            codes: DeviceArray.adopt<Int32Array>(found.codes as number, n * books.length, 'Int32Array'),
            quantized: DeviceArray.adopt<Float32Array>(found.quantized as number, n * dim, 'Float32Array'),
            errors: DeviceArray.adopt<Float32Array>(found.errors as number, n, 'Float32Array'),
            ...(levelErrors && {
              levelErrors: DeviceArray.adopt<Float32Array>(
                found.levelErrors as number,
                n * books.length,
                'Float32Array',
              ),
            }),
          }
        : (found as ResidualEncodeResult),
  }
}
