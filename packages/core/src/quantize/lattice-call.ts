import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { VqValueError } from '../errors.js'
import type { NativeCore } from '../native.js'
import { rowsOf } from './arrays.js'
import { type CallOptions, callNow } from './call.js'

type Rows = Float32Array | DeviceArray
type Codes = Int32Array | DeviceArray<Int32Array>

/** A checked call on rows. */
export interface RowsCall {
  run(core: NativeCore, threads: number): unknown
  finish<T>(found: unknown): T
}

/** The call that quantizes rows [N, dim] where they are. `what`: 0 their codes, 1 codes and values, 2 values alone. */
export function rowsCall(
  operation: string,
  vectors: Rows,
  { device, dim, what }: Pick<CallOptions, 'device'> & { dim: number; what: 0 | 1 | 2 },
  on: {
    cpu(core: NativeCore, x: Float32Array, threads: number): unknown
    cuda(core: NativeCore, place: number, x: Float32Array | number, stays: boolean): unknown
  },
): RowsCall {
  const place = placeOf(operation, device, [vectors])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const n = rowsOf(operation, 'vectors', x, dim)
  const stays = vectors instanceof DeviceArray
  return {
    run: (core, threads) =>
      place === undefined
        ? on.cpu(core, x.native as Float32Array, threads)
        : on.cuda(core, place, x.native, stays),
    finish: found => settled(found, n, dim, stays, what),
  }
}

/** The values [N, dim] of codes, from where these are; `size`: the number of codes that there are. */
export function decodeWith(
  operation: string,
  indices: Codes,
  { options, dim, size }: { options: CallOptions; dim: number; size: number },
  on: {
    cpu(core: NativeCore, codes: Int32Array, threads: number): unknown
    cuda(core: NativeCore, place: number, codes: Int32Array | number, stays: boolean): unknown
  },
): Rows {
  const place = placeOf(operation, options.device, [indices])
  const codes = operand<Int32Array>(operation, 'indices', indices, 'Int32Array')
  if (typeof codes.native !== 'number') expectCodes(operation, codes.native, size)
  const stays = indices instanceof DeviceArray
  const found = callNow(operation, options, (core, threads) =>
    place === undefined
      ? on.cpu(core, codes.native as Int32Array, threads)
      : on.cuda(core, place, codes.native, stays),
  )
  return settled(found, codes.length, dim, stays, 2)
}

/** What native code left for rows that live on the device: handles, made arrays; for others its typed arrays. */
export function settled<T>(found: unknown, rows: number, dim: number, stays: boolean, what: 0 | 1 | 2): T {
  if (!stays) return found as T
  const floats = (handle: unknown): DeviceArray =>
    DeviceArray.adopt<Float32Array>(handle as number, rows * dim, 'Float32Array')
  const codes = (handle: unknown): DeviceArray<Int32Array> =>
    DeviceArray.adopt<Int32Array>(handle as number, rows, 'Int32Array')
  if (what === 0) return codes(found) as T
  if (what === 2) return floats(found) as T
  const { indices, quantized } = found as Record<'indices' | 'quantized', number>
  return { indices: codes(indices), quantized: floats(quantized) } as T
}

/** Codes and values of rows. */
export interface CodesAndValues {
  /** [N] */
  indices: Int32Array
  /** [N, D] */
  quantized: Float32Array
}

/** The same on the device. */
export interface DeviceCodesAndValues {
  indices: DeviceArray<Int32Array>
  quantized: DeviceArray
}

/** Throws VqValueError unless every code is from 0 to size − 1. */
function expectCodes(operation: string, codes: Int32Array, size: number): void {
  const bad = codes.findIndex(c => c < 0 || c >= size)
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: `codes from 0 to ${size - 1}`,
      received: `${codes[bad]} at place ${bad}`,
      remedy: 'Decode with the settings that the codes were made with.',
    })
}
