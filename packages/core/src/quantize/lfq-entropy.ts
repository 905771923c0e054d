import { expectInteger, expectNumber, expectShape } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { codesOf } from './arrays.js'
import { type CallOptions, callNow } from './call.js'

export interface LfqEntropyOptions extends CallOptions {
  /** Length of a row, its number of bits, 1 to 4096. */
  dim: number
  /** A bit's log odds are κ·z; above 0 and at most 1e30. */
  kappa: number
  /** Bits that are taken together, 1 to 26. Default all, so dim. */
  group?: number
}

export interface LfqEntropy<T = Float32Array> {
  /** Mean over rows of the entropy of the row's distribution, in nats. */
  perSample: number
  /** Entropy of the rows' mean distribution, in nats, summed over groups. */
  ofMean: number
  /** For {@link lfqEntropyGradient}: −(log p + 1) of every code of every group, 2^(bits of the group) each. */
  table: T
}

type Rows = Float32Array | DeviceArray

/**
 * The entropies of {@link lfqEntropies} on arrays. vectors: [N, dim], N at least 1; N × 2^group numbers are never there,
 * 2^group are. In float32; on a device the same in every run, and the processor's up to rounding: by about
 * (256 + r/256 + 3·dim)·2⁻²⁴ of each probability at most, r being N or a part of it. A DeviceArray as vectors gives `table` as one.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 * Source: Yu et al. 2023, https://arxiv.org/abs/2310.05737, equation 6; groups: Zhao et al. 2024,
 * https://arxiv.org/abs/2406.07548, section 3.
 *
 * @example
 * lfqEntropyRows(Float32Array.of(0, 0), { dim: 1, kappa: 1 }) // perSample and ofMean are log 2
 */
export function lfqEntropyRows(vectors: Float32Array, options: LfqEntropyOptions): LfqEntropy
export function lfqEntropyRows(vectors: DeviceArray, options: LfqEntropyOptions): LfqEntropy<DeviceArray>
export function lfqEntropyRows(
  vectors: Rows,
  options: LfqEntropyOptions,
): LfqEntropy | LfqEntropy<DeviceArray> {
  const operation = 'lfqEntropyRows'
  const { dim, group, kappa, entries } = settings(operation, options)
  const place = placeOf(operation, options.device, [vectors])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  codesOf(operation, 'vectors', x, dim)
  const stays = vectors instanceof DeviceArray
  const found = callNow<LfqEntropy<unknown>>(operation, options, (core, threads) =>
    place === undefined
      ? core.lfqEntropy(x.native as Float32Array, dim, group, kappa, threads)
      : core.cudaLfqEntropy(place, x.native, dim, group, kappa, stays),
  )
  if (!stays) return found as LfqEntropy
  return { ...found, table: DeviceArray.adopt<Float32Array>(found.table as number, entries, 'Float32Array') }
}

/** Also the gradients by the two entropies of {@link lfqEntropyRows}; a loss that weighs them has its weights here. */
export interface LfqEntropyGradientOptions extends LfqEntropyOptions {
  byPerSample: number
  byOfMean: number
}

/**
 * The gradient of the vectors, [N, dim], from those by {@link lfqEntropyRows}'s results and its table. Where the vectors are
 * a DeviceArray, so is the result.
 *
 * Errors: VqConfigError (types, options), VqShapeError (lengths).
 *
 * @example
 * const { table } = lfqEntropyRows(z, { dim, kappa })
 * lfqEntropyGradient([z, table], { dim, kappa, byPerSample: 1, byOfMean: -1 })
 */
export function lfqEntropyGradient(
  arrays: readonly [vectors: Float32Array, table: Float32Array | DeviceArray],
  options: LfqEntropyGradientOptions,
): Float32Array
export function lfqEntropyGradient(
  arrays: readonly [vectors: DeviceArray, table: Float32Array | DeviceArray],
  options: LfqEntropyGradientOptions,
): DeviceArray
export function lfqEntropyGradient(arrays: readonly Rows[], options: LfqEntropyGradientOptions): Rows {
  const operation = 'lfqEntropyGradient'
  const { dim, group, kappa, entries } = settings(operation, options)
  const { byPerSample, byOfMean, device } = options
  for (const [name, value] of Object.entries({ byPerSample, byOfMean }))
    expectNumber(operation, name, value, -1e30, 1e30)
  const two = Array.isArray(arrays) && arrays.length === 2
  expectShape(two, operation, 'vectors and a table', String(arrays?.length), 'Pass [vectors, table].')
  const place = placeOf(operation, device, arrays)
  const [x, table] = ['vectors', 'table'].map((name, i) =>
    operand<Float32Array>(operation, name, arrays[i], 'Float32Array'),
  )
  codesOf(operation, 'vectors', x, dim)
  const remedy = 'Pass the table of lfqEntropyRows with the same dim and group.'
  expectShape(table.length === entries, operation, `a table of ${entries}`, `${table.length} numbers`, remedy)
  const stays = arrays[0] instanceof DeviceArray
  const found = callNow(operation, options, (core, threads) =>
    place === undefined
      ? core.lfqEntropyGradient(
          x.native as Float32Array,
          table.native as Float32Array,
          dim,
          group,
          kappa,
          byPerSample,
          byOfMean,
          threads,
        )
      : core.cudaLfqEntropyGradient(
          place,
          x.native,
          table.native,
          dim,
          group,
          kappa,
          byPerSample,
          byOfMean,
          stays,
        ),
  )
  return stays
    ? DeviceArray.adopt<Float32Array>(found as number, x.length, 'Float32Array')
    : (found as Float32Array)
}

function settings(
  operation: string,
  options: LfqEntropyOptions,
): { dim: number; group: number; kappa: number; entries: number } {
  const { dim, kappa, group = dim } = options ?? {}
  expectInteger(operation, 'dim', dim, 1, 4096)
  expectInteger(operation, 'group', group, 1, 26)
  expectNumber(operation, 'kappa', kappa, Number.MIN_VALUE, 1e30)
  const bits = Math.min(group, dim)
  const rest = dim % bits
  return { dim, group: bits, kappa, entries: Math.floor(dim / bits) * 2 ** bits + (rest > 0 ? 2 ** rest : 0) }
}
