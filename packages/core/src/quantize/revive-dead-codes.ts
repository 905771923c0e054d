import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import type { Random } from '../random.js'
import { codesOf, rowsOf } from './arrays.js'
import { callNow } from './call.js'
import type { DeviceEmaState, EmaState } from './ema-update.js'

/** The codes that begin anew, ascending, and the row of the batch that each becomes. */
export interface RevivedCodes {
  codes: Int32Array
  rows: Int32Array
}

/**
 * For each code whose count is below the threshold, in ascending order, a row drawn from those of its group: the n rows of
 * all groups lie behind one another, and so do the counts of their codes.
 */
export function drawDeadCodes(
  counts: ArrayLike<number>,
  threshold: number,
  n: number,
  random: Random,
  groups = 1,
): RevivedCodes {
  const codes = Int32Array.from({ length: counts.length }, (_, k) => k).filter(k => counts[k] < threshold)
  const each = n / groups
  const perGroup = counts.length / groups
  return { codes, rows: codes.map(k => Math.floor(k / perGroup) * each + random.integer(each)) }
}

export interface ReviveOptions {
  /** Length of a row. */
  dim: number
  /** Codes whose moving average of uses falls below this begin anew. */
  threshold: number
  /** The moving average of uses that they begin with: high enough to give them time. Default twice the threshold, at least 1. */
  reset?: number
  /** Codebooks behind one another in one state, each with its share of the rows. Default 1. */
  groups?: number
  /** Draws the rows. */
  random: Random
  /** As of every call; the result is the same. */
  device?: 'cpu' | 'cuda'
}

type StateOf<S extends EmaState | DeviceEmaState> = Omit<S, 'sums'> & { sums?: S['sums'] }

/**
 * Moves the codes that hardly any vector chooses onto random rows of the batch, in place: codebook = row,
 * counts = reset, sums (where there are any) = reset · row. vectors: [N, dim], N at least 1. Says which.
 * With a state on the device only its counts [K] are read back, and the numbers of the codes and rows sent.
 *
 * Errors: VqConfigError, VqShapeError.
 * Sources: Williams et al. 2020, https://arxiv.org/abs/2002.08111, section 4.2; Dhariwal et al. 2020,
 * https://arxiv.org/abs/2005.00341.
 */
export function reviveDeadCodes(
  vectors: Float32Array | DeviceArray,
  state: StateOf<EmaState> | StateOf<DeviceEmaState>,
  options: ReviveOptions,
): RevivedCodes {
  const operation = 'reviveDeadCodes'
  const { dim, threshold, random, device, groups = 1 } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectNumber(operation, 'threshold', threshold, 0, Number.MAX_VALUE)
  const { reset = Math.max(1, 2 * threshold) } = options
  expectNumber(operation, 'reset', reset, 0, Number.MAX_VALUE)
  expectInteger(operation, 'groups', groups, 1)
  const { codebook, counts, sums } = state
  const arrays = sums === undefined ? [codebook, counts] : [codebook, counts, sums]
  const resident = arrays.map(a => a instanceof DeviceArray)
  expectConfig(
    resident.every(r => r === resident[0]),
    operation,
    'the arrays of state to be all on the device or all typed arrays',
    state,
    'Upload each of them, or none.',
  )
  // A state in memory changes there: only one on the device needs the device.
  const place = placeOf(operation, device, [vectors, ...arrays])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const [book, n_k, s_k] = arrays.map((a, i) =>
    operand<Float32Array>(operation, `state.${['codebook', 'counts', 'sums'][i]}`, a, 'Float32Array'),
  )
  const n = codesOf(operation, 'vectors', x, dim)
  const k = rowsOf(operation, 'state.codebook', book, dim)
  const fits = n_k.length === k && (s_k === undefined || s_k.length === k * dim)
  const lengths = `${n_k.length} and ${s_k?.length ?? 'no'}`
  expectShape(fits, operation, `${k} counts and ${k * dim} sums`, lengths, 'Pass a state of initEmaState.')
  expectShape(
    n % groups === 0 && k % groups === 0,
    operation,
    `rows and codes that ${groups} groups divide`,
    `${n} rows and ${k} codes`,
    'Pass as many rows for each group.',
  )
  const values = counts instanceof DeviceArray ? counts.read() : counts
  const revived = drawDeadCodes(values, threshold, n, random, groups)
  if (revived.codes.length === 0) return revived
  if (resident[0] && place !== undefined)
    callNow(operation, {}, core =>
      core.cudaReplaceRows(
        place,
        x.native,
        revived.codes,
        revived.rows,
        reset,
        book.native as number,
        n_k.native as number,
        (s_k?.native as number | undefined) ?? null,
        dim,
      ),
    )
  else
    replaceRows(
      vectors instanceof DeviceArray ? vectors.read() : vectors,
      revived,
      { codebook, counts, sums } as EmaState,
      dim,
      reset,
    )
  return revived
}

function replaceRows(
  x: Float32Array,
  { codes, rows }: RevivedCodes,
  { codebook, counts, sums }: StateOf<EmaState>,
  dim: number,
  reset: number,
): void {
  const scale = Math.fround(reset)
  for (const [i, k] of codes.entries()) {
    const row = x.subarray(rows[i] * dim, (rows[i] + 1) * dim)
    codebook.set(row, k * dim)
    counts[k] = reset
    if (sums !== undefined) for (let d = 0; d < dim; d++) sums[k * dim + d] = scale * row[d]
  }
}
