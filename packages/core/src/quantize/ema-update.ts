import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { VqValueError } from '../errors.js'
import type { NativeCore } from '../native.js'
import { codesOf, expectWritable, rowsOf, typedArray } from './arrays.js'
import { type AsyncCallOptions, type CallOptions, callAsync, callNow } from './call.js'

/** A codebook that follows its vectors by an exponential moving average. Updated in place. */
export interface EmaState {
  /** [K, dim] */
  codebook: Float32Array
  /** [K], moving average of how many rows each code won. */
  counts: Float32Array
  /** [K, dim], moving average of the sum of those rows. */
  sums: Float32Array
}

/** The same on the device: DeviceArray.upload of each array of an {@link EmaState}. */
export interface DeviceEmaState {
  codebook: DeviceArray
  counts: DeviceArray
  sums: DeviceArray
}

export interface EmaUpdateOptions extends CallOptions {
  /** Length of a row. */
  dim: number
  /** Weight of the past, γ, from 0 to 1. Default 0.99. */
  decay?: number
  /** Laplace smoothing of the counts, ε. Default 1e-5. */
  epsilon?: number
}

/** The state that a codebook of [K, dim] starts from: counts 1, sums equal to the codebook. The arrays are copies. */
export function initEmaState(codebook: Float32Array, options: { dim: number }): EmaState {
  const { dim } = options ?? {}
  expectInteger('initEmaState', 'dim', dim, 1)
  const codes = typedArray('initEmaState', 'codebook', codebook, 'Float32Array')
  const k = codesOf('initEmaState', 'codebook', codes, dim)
  const at = codes.findIndex(value => !Number.isFinite(value))
  if (at >= 0)
    throw new VqValueError({
      operation: 'initEmaState',
      expected: 'finite codes',
      received: `row ${Math.floor(at / dim)} holds ${codes[at]} at element ${at % dim}`,
      remedy: 'Remove or mend that row.',
    })
  return { codebook: codes.slice(), counts: new Float32Array(k).fill(1), sums: codes.slice() }
}

/**
 * One step of a codebook's exponential moving average, in place. vectors: [N, dim]; indices: [N], the code of each row, or
 * −1 for a row that does not count.
 *
 * counts ← γ·counts + (1−γ)·n_k; sums ← γ·sums + (1−γ)·Σ rows of k; codebook = sums / smoothed counts, with
 * smoothed = (counts + ε) / (Σ counts + K·ε) · Σ counts. All float32, rows of a code added in ascending order, so the
 * thread count changes nothing. A code whose smoothed count is 0 stays as it is.
 *
 * On a CUDA device a code that owns more than 4,096 rows is added up in segments of 4,096, each in ascending order, whose sums
 * are then added in ascending order: the same bits in every run, those of the CPU for codes with at most 4,096 rows, and for
 * others, with S segments, within (4,096 + S)·2⁻²⁴·Σ|x| of the exact sum per element, to first order.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError for an index outside the codebook, or a row, count or sum that is not
 * finite. The state is then unchanged.
 * Source: van den Oord, Vinyals, Kavukcuoglu 2017, https://arxiv.org/abs/1711.00937, appendix A.1.
 */
export function emaUpdate(
  vectors: Float32Array | DeviceArray,
  indices: Int32Array | DeviceArray<Int32Array>,
  state: EmaState | DeviceEmaState,
  options: EmaUpdateOptions,
): void {
  const call = prepare('emaUpdate', vectors, indices, state, options, false)
  call.commit(call.finish(callNow('emaUpdate', options, call.run)))
}

/**
 * As {@link emaUpdate}, off the main thread. Typed arrays are copied when it is called; the state is written when it ends,
 * so run one update of a state at a time.
 */
export async function emaUpdateAsync(
  vectors: Float32Array | DeviceArray,
  indices: Int32Array | DeviceArray<Int32Array>,
  state: EmaState | DeviceEmaState,
  options: EmaUpdateOptions & AsyncCallOptions,
): Promise<void> {
  const call = prepare('emaUpdateAsync', vectors, indices, state, options, true)
  call.commit(await callAsync('emaUpdateAsync', options, call.run, call.finish))
}

const names = ['codebook', 'counts', 'sums'] as const
type Name = (typeof names)[number]

function adopted(found: Record<Name, number>, k: number, dim: number): DeviceEmaState {
  const floats = (name: Name, length: number): DeviceArray =>
    DeviceArray.adopt<Float32Array>(found[name], length, 'Float32Array')
  return { codebook: floats('codebook', k * dim), counts: floats('counts', k), sums: floats('sums', k * dim) }
}

// All or nothing: every array is looked at before the first is written.
function commit(operation: string, state: EmaState, next: EmaState): void {
  for (const name of names) expectWritable(operation, `state.${name}`, state[name], next[name].length)
  for (const name of names) state[name].set(next[name])
}

function commitOnDevice(state: DeviceEmaState, next: DeviceEmaState): void {
  for (const name of names) state[name].become(next[name])
}

interface Call {
  run(core: NativeCore, threads: number): unknown
  finish(found: unknown): EmaState | DeviceEmaState
  commit(next: EmaState | DeviceEmaState): void
}

function prepare(
  operation: string,
  vectors: Float32Array | DeviceArray,
  indices: Int32Array | DeviceArray<Int32Array>,
  state: EmaState | DeviceEmaState,
  options: EmaUpdateOptions,
  async: boolean,
): Call {
  const { dim, decay = 0.99, epsilon = 1e-5, device } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectNumber(operation, 'decay', decay, 0, 1)
  expectNumber(operation, 'epsilon', epsilon, 0, 1)
  expectConfig(
    typeof state === 'object' && state !== null,
    operation,
    'state to be { codebook, counts, sums }',
    state,
    'Make one with initEmaState(codebook, { dim }).',
  )
  const resident = names.map(name => state[name] instanceof DeviceArray)
  const stays = resident[0]
  expectConfig(
    resident.every(r => r === stays),
    operation,
    'the arrays of state to be all on the device or all typed arrays',
    state,
    'Upload each of them, or none.',
  )
  const place = placeOf(operation, device, [vectors, indices, state.codebook])
  const x = operand<Float32Array>(operation, 'vectors', vectors, 'Float32Array')
  const codes = operand<Int32Array>(operation, 'indices', indices, 'Int32Array')
  const codebook = operand<Float32Array>(operation, 'state.codebook', state.codebook, 'Float32Array')
  const counts = operand<Float32Array>(operation, 'state.counts', state.counts, 'Float32Array')
  const sums = operand<Float32Array>(operation, 'state.sums', state.sums, 'Float32Array')
  const n = rowsOf(operation, 'vectors', x, dim)
  const k = codesOf(operation, 'state.codebook', codebook, dim)
  const fits = codes.length === n && counts.length === k && sums.length === k * dim
  expectShape(
    fits,
    operation,
    `${n} indices, ${k} counts and ${k * dim} sums`,
    `${codes.length}, ${counts.length} and ${sums.length}`,
    'Pass an index per row, and a state made by initEmaState.',
  )
  return {
    run: (core, threads) =>
      place === undefined
        ? core.emaUpdate(
            x.native as Float32Array,
            codes.native as Int32Array,
            codebook.native as Float32Array,
            counts.native as Float32Array,
            sums.native as Float32Array,
            dim,
            decay,
            epsilon,
            threads,
            async,
          )
        : core.cudaEmaUpdate(
            place,
            x.native,
            codes.native,
            codebook.native,
            counts.native,
            sums.native,
            dim,
            decay,
            epsilon,
            stays,
            async,
          ),
    finish: found => (stays ? adopted(found as Record<Name, number>, k, dim) : (found as EmaState)),
    commit: next =>
      stays
        ? commitOnDevice(state as DeviceEmaState, next as DeviceEmaState)
        : commit(operation, state as EmaState, next as EmaState),
  }
}
