import { VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict, type StoredTensor, saveSafetensors } from '@vq/core/io'
import type { FitState } from './fit.js'
import type { Stage } from './lloyd.js'
import { type Resolved, resolve } from './options.js'

const version = 1

/** Writes named arrays with options, atomically; read back by `readFile`. */
export async function writeFile(
  path: string,
  kind: string,
  options: Resolved,
  tensors: StateDict,
  more: Record<string, unknown> = {},
): Promise<void> {
  await saveSafetensors(path, tensors, {
    format: kind,
    version: String(version),
    options: JSON.stringify(options),
    more: JSON.stringify(more),
  })
}

export interface Stored {
  options: Resolved
  tensors: StateDict
  more: Record<string, unknown>
}

export async function readFile(path: string, kind: string): Promise<Stored> {
  const { tensors, metadata } = await loadSafetensors(path)
  const right = metadata.format === kind && metadata.version === String(version)
  try {
    const [options, more]: unknown[] = right ? [metadata.options, metadata.more].map(t => JSON.parse(t)) : []
    if (isRecord(options) && isRecord(more)) return { options: options as unknown as Resolved, more, tensors }
  } catch {
    // Said below.
  }
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: `a file of kind ${kind}, version ${version}`,
    received: `${metadata.format ?? 'a file without a kind'}, version ${metadata.version ?? 'none'}`,
    remedy: `Pass a file that RQKMeans wrote with this version.`,
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Throws VqFormatError unless `ok`. */
export function expectStored(ok: boolean, path: string, expected: string): asserts ok {
  if (ok) return
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected,
    received: 'something else',
    remedy: 'Use another copy: this one was damaged, or not written by RQKMeans.',
  })
}

/** The float32 tensor [rows, dim] of that name. Throws VqFormatError where there is none, or a number is not finite. */
export function storedFloats(
  path: string,
  tensors: StateDict,
  name: string,
  [rows, dim]: [number, number],
): Float32Array {
  const found = Object.hasOwn(tensors, name) ? tensors[name] : undefined
  const [r, d] = found?.shape ?? []
  const fits = found?.shape.length === 2 && r === rows && d === dim && found.data instanceof Float32Array
  expectStored(fits, path, `float32 ${name} [${rows}, ${dim}]`)
  const data = found.data as Float32Array
  expectStored(data.every(Number.isFinite), path, `finite numbers in ${name}`)
  return data
}

export function isCount(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least
}

export function areNumbers(values: unknown, length?: number): values is number[] {
  const fits = Array.isArray(values) && (length === undefined || values.length === length)
  return fits && values.every(x => typeof x === 'number' && Number.isFinite(x))
}

export function floats(data: Float32Array, shape: number[]): StoredTensor {
  return { dtype: 'F32', shape, data }
}
function integers(data: Int32Array): StoredTensor {
  return { dtype: 'I32', shape: [data.length], data }
}

const checkpointKind = 'vq-rq-kmeans-checkpoint'

/** Where a fit stands, in a file. */
export async function saveFitState(path: string, options: Resolved, state: FitState): Promise<void> {
  const { dim, done, attempt, next, best } = state
  const tensors: StateDict = {}
  const put = (name: string, stage: Stage): void => {
    tensors[`${name}.centroids`] = floats(stage.centroids, [stage.centroids.length / dim, dim])
    tensors[`${name}.codes`] = integers(stage.codes)
  }
  for (const [s, stage] of done.entries()) put(`stage.${s}`, stage)
  if (best !== undefined) put('best', best)
  if (next !== undefined) tensors.next = floats(next.centroids, [next.centroids.length / dim, dim])
  await writeFile(path, checkpointKind, options, tensors, {
    dim,
    attempt,
    inertia: done.map(d => d.inertia),
    ...(best === undefined ? {} : { best: best.inertia }),
    ...(next === undefined ? {} : { iteration: next.iteration, close: next.close, last: next.last }),
  })
}

/** Throws VqFormatError for a file that `saveFitState` did not write. */
export async function loadFitState(path: string): Promise<{ options: Resolved; state: FitState }> {
  const stored = await readFile(path, checkpointKind)
  const { tensors, more } = stored
  const options = resolve(stored.options)
  const { nClusters: k, nStages, nInit } = options
  const { dim, attempt, inertia, best, iteration, close, last } = more
  expectStored(isCount(dim, 1), path, 'the length of a row')
  expectStored(isCount(attempt, 0) && attempt < nInit, path, `an attempt below ${nInit}`)
  expectStored(areNumbers(inertia) && inertia.length < nStages, path, `fewer than ${nStages} stages`)
  for (const value of [best, close])
    expectStored(value === undefined || areNumbers([value]), path, 'finite numbers')
  expectStored(iteration === undefined || isCount(iteration, 0), path, 'the number of an iteration')
  let rows: number | undefined
  const codes = (name: string): Int32Array => {
    const data = Object.hasOwn(tensors, name) ? tensors[name].data : undefined
    const fits = data instanceof Int32Array && data.length === (rows ?? data.length)
    expectStored(fits && data.every(c => c >= 0 && c < k), path, `int32 ${name}, one code for each row`)
    rows = data.length
    return data
  }
  const stage = (name: string, value: number): Stage => ({
    centroids: storedFloats(path, tensors, `${name}.centroids`, [k, dim]),
    codes: codes(`${name}.codes`),
    inertia: value,
  })
  const state: FitState = { dim, attempt, done: inertia.map((value, s) => stage(`stage.${s}`, value)) }
  if (best !== undefined) state.best = stage('best', best as number)
  if (iteration !== undefined)
    state.next = {
      centroids: storedFloats(path, tensors, 'next', [k, dim]),
      iteration,
      ...(close === undefined ? {} : { close: close as number }),
      ...(last === true ? { last } : {}),
    }
  return { options, state }
}
