import { VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict, type StoredTensor, saveSafetensors } from '@vq/core/io'
import type { FitState } from './fit.js'
import type { Stage } from './lloyd.js'
import type { Resolved } from './options.js'

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
    if (right) return { options: JSON.parse(metadata.options), more: JSON.parse(metadata.more), tensors }
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
    ...(next === undefined ? {} : { iteration: next.iteration, close: next.close }),
  })
}

export async function loadFitState(path: string): Promise<{ options: Resolved; state: FitState }> {
  const { options, tensors, more } = await readFile(path, checkpointKind)
  const { dim, attempt, inertia, best, iteration, close } = more as {
    dim: number
    attempt: number
    inertia: number[]
    best?: number
    iteration?: number
    close?: number
  }
  const stage = (name: string, value: number): Stage => ({
    centroids: tensors[`${name}.centroids`].data as Float32Array,
    codes: tensors[`${name}.codes`].data as Int32Array,
    inertia: value,
  })
  return {
    options,
    state: {
      dim,
      attempt,
      done: inertia.map((value, s) => stage(`stage.${s}`, value)),
      ...(best === undefined ? {} : { best: stage('best', best) }),
      ...(iteration === undefined
        ? {}
        : {
            next: {
              centroids: tensors.next.data as Float32Array,
              iteration,
              ...(close === undefined ? {} : { close }),
            },
          }),
    },
  }
}
