import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { random, type VqFormatError } from '@vq/core'
import { recoverFolder, type StateDict } from '@vq/core/io'
import type { Module } from '@vq/core/nn'
import {
  bestIn,
  listCheckpoints,
  optimizerFile,
  type StateFile,
  type TrainingState,
  weightFiles,
} from './folder.js'
import { DamagedError, readState, readTensors } from './read.js'

/**
 * Sets everything to the newest sound checkpoint and returns its state; undefined where the folder holds none at all.
 * Damaged ones are told to `warn` and moved aside, to `damaged-step-…`. Throws VqFormatError where all are damaged, and
 * where the checkpoint is of another model, optimizer or version.
 */
export async function loadNewest(
  folder: string,
  { model, optimizer, loader, average }: TrainingState,
  warn: (message: string) => void,
): Promise<StateFile | undefined> {
  const names = (await listCheckpoints(folder)).reverse()
  let failure: VqFormatError | undefined
  for (const name of names) {
    const path = join(folder, name)
    let read: { state: StateFile; weights: StateDict; moments: StateDict; averaged: StateDict | undefined }
    try {
      const state = await readState(path)
      const averages = average !== undefined && state.averageUpdates !== undefined
      read = {
        state,
        weights: await readTensors(path, weightFiles.model, state),
        moments: await readTensors(path, optimizerFile, state),
        averaged: averages ? await readTensors(path, weightFiles.average, state) : undefined,
      }
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error
      failure ??= error
      const aside = join(folder, `damaged-${name}`)
      await rm(aside, { recursive: true, force: true })
      await rename(path, aside)
      warn(`The checkpoint ${path} is damaged (${error.received}); it was moved to damaged-${name}.`)
      continue
    }
    const { state, weights, moments, averaged } = read
    loader.state = state.loader
    model.loadStateDict(weights)
    optimizer.loadStateDict(moments)
    if (averaged === undefined) average?.reset()
    else average?.loadStateDict(averaged, state.averageUpdates ?? 0)
    const modules = new Map(model.namedModules())
    for (const [name, extra] of Object.entries(state.modules)) modules.get(name)?.loadExtraState(extra)
    random.state = state.random
    return state
  }
  if (failure === undefined) return undefined
  throw failure
}

export interface LoadWeightsOptions {
  /** The averaged weights, where the checkpoint has such. Default true. */
  average?: boolean
}

/**
 * Sets a model to the best weights of the run in `out` and returns their step. Throws VqFormatError where there are none,
 * where they are damaged or of another model.
 */
export async function loadBest(
  out: string,
  model: Module,
  options: LoadWeightsOptions = {},
): Promise<number> {
  await recoverFolder(bestIn(out))
  return loadWeights(bestIn(out), model, options)
}

/** Sets a model to the weights of one checkpoint (a folder `step-…` or `best`) and returns their step; throws as loadBest. */
export async function loadWeights(
  checkpoint: string,
  model: Module,
  { average = true }: LoadWeightsOptions = {},
): Promise<number> {
  const state = await readState(checkpoint)
  const file = average && state.averageUpdates !== undefined ? weightFiles.average : weightFiles.model
  model.loadStateDict(await readTensors(checkpoint, file, state))
  return state.step
}
