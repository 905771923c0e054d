import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { random } from '@vq/core'
import { recoverFolder, type StateDict, saveSafetensors, writeFolderAtomic } from '@vq/core/io'
import { formatVersion } from '../../artifact/artifact.js'
import {
  listCheckpoints,
  nameOf,
  optimizerFile,
  type StateFile,
  type TrainingState,
  weightFiles,
} from './folder.js'
import { leftBy, oldOf } from './leftovers.js'

/**
 * Writes checkpoint `step` into a folder of checkpoints, as a whole, and removes all but the newest `keep`. `more` is kept
 * in state.json. Throws what `check` throws of the weights before anything is written.
 */
export async function saveCheckpoint(
  folder: string,
  step: number,
  training: TrainingState,
  { keep, ...rest }: SaveOptions & { keep: number },
): Promise<string> {
  const path = join(folder, nameOf(step))
  await write(path, step, training, rest)
  for (const old of (await listCheckpoints(folder)).slice(0, -keep))
    await rm(join(folder, old), { recursive: true, force: true })
  return path
}

/** Writes the folder of the best weights, as a whole: a checkpoint without the optimizer. */
export function saveBest(
  folder: string,
  step: number,
  training: TrainingState,
  options: SaveOptions,
): Promise<void> {
  const { optimizer: _, ...rest } = training
  return write(folder, step, rest, options)
}

export interface SaveOptions {
  more?: unknown
  check?: (weights: StateDict) => void
}

async function write(
  path: string,
  step: number,
  { model, optimizer, loader, average }: Omit<TrainingState, 'optimizer'> & Partial<TrainingState>,
  { more, check }: SaveOptions,
): Promise<void> {
  const weights = model.stateDict()
  check?.(weights)
  const modules: Record<string, unknown> = {}
  for (const [name, module] of model.namedModules()) {
    const extra = module.extraState()
    if (extra !== undefined) modules[name] = extra
  }
  const state: StateFile = {
    formatVersion,
    step,
    loader: loader.state,
    random: random.state,
    modules,
    ...(average === undefined ? {} : { averageUpdates: average.updates }),
    ...(more === undefined ? {} : { more }),
  }
  const dictionaries: Record<string, StateDict> = {
    [weightFiles.model]: weights,
    ...(optimizer && { [optimizerFile]: optimizer.stateDict() }),
    ...(average && { [weightFiles.average]: average.stateDict() }),
  }
  await writeFolderAtomic(path, async temp => {
    const files: NonNullable<StateFile['files']> = {}
    for (const [name, dictionary] of Object.entries(dictionaries)) {
      await saveSafetensors(join(temp, name), dictionary, { format: 'pt' })
      const bytes = await readFile(join(temp, name))
      files[name] = { bytes: bytes.length, crc32: crc32(bytes) }
    }
    await writeFile(join(temp, 'state.json'), JSON.stringify({ ...state, files }))
  })
}

/** Ends what a run that was killed while it wrote a checkpoint left behind. */
export async function repairCheckpoints(folder: string): Promise<void> {
  const step = /^step-\d{8,}$/
  for (const name of await oldOf(folder, step)) await recoverFolder(join(folder, name))
  for (const path of await leftBy(folder, step)) await rm(path, { recursive: true, force: true })
}
