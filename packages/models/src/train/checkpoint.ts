import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RandomState, random, VqFormatError } from '@vq/core'
import { loadSafetensors, recoverFolder, saveSafetensors, writeFolderAtomic } from '@vq/core/io'
import type { Module } from '@vq/core/nn'
import type { Optimizer } from '@vq/core/optim'
import { formatVersion } from '../artifact/artifact.js'
import type { Values } from '../data/dataset.js'
import type { DataLoader, DataLoaderState } from '../data/loader.js'

/** Everything that moves during training. */
export interface TrainingState {
  model: Module
  optimizer: Optimizer
  loader: DataLoader<Values>
}

interface StateFile {
  formatVersion: number
  step: number
  loader: DataLoaderState
  random: RandomState
  /** Extra states of modules by name. */
  modules: Record<string, unknown>
}

const pattern = /^step-(\d{8,})$/

/** Writes checkpoint `step` into a folder of checkpoints, as a whole, and removes all but the newest `keep`. */
export async function saveCheckpoint(
  folder: string,
  step: number,
  { model, optimizer, loader }: TrainingState,
  keep: number,
): Promise<string> {
  const modules: Record<string, unknown> = {}
  for (const [name, module] of model.namedModules()) {
    const extra = module.extraState()
    if (extra !== undefined) modules[name] = extra
  }
  const state: StateFile = { formatVersion, step, loader: loader.state, random: random.state, modules }
  const path = join(folder, `step-${String(step).padStart(8, '0')}`)
  await writeFolderAtomic(path, async temp => {
    await saveSafetensors(join(temp, 'model.safetensors'), model.stateDict(), { format: 'pt' })
    await saveSafetensors(join(temp, 'optimizer.safetensors'), optimizer.stateDict(), { format: 'pt' })
    await writeFile(join(temp, 'state.json'), JSON.stringify(state))
  })
  for (const old of (await listCheckpoints(folder)).slice(0, -keep))
    await rm(join(folder, old), { recursive: true, force: true })
  return path
}

/** Ends what a run that was killed while it wrote a checkpoint left behind. */
export async function repairCheckpoints(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [] as string[])) {
    const [, step, ending] = /^\.(step-\d{8,})\.(.*)$/.exec(name) ?? []
    if (ending === 'old') await recoverFolder(join(folder, step))
    else if (ending?.endsWith('.tmp')) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/** Names of the checkpoints in a folder, oldest first. */
export async function listCheckpoints(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[])
  const step = (name: string): number => Number(pattern.exec(name)![1])
  return names.filter(name => pattern.test(name)).sort((a, b) => step(a) - step(b))
}

/** Sets everything to the newest checkpoint and returns its step; 0 where there is none. */
export async function loadNewest(
  folder: string,
  { model, optimizer, loader }: TrainingState,
): Promise<number> {
  const newest = (await listCheckpoints(folder)).at(-1)
  if (newest === undefined) return 0
  const path = join(folder, newest)
  const state = parse(await readFile(join(path, 'state.json'), 'utf8'), join(path, 'state.json'))
  const weights = await loadSafetensors(join(path, 'model.safetensors'))
  const moments = await loadSafetensors(join(path, 'optimizer.safetensors'))
  loader.state = state.loader
  model.loadStateDict(weights.tensors)
  optimizer.loadStateDict(moments.tensors)
  const modules = new Map(model.namedModules())
  for (const [name, extra] of Object.entries(state.modules)) modules.get(name)?.loadExtraState(extra)
  random.state = state.random
  return state.step
}

function parse(text: string, path: string): StateFile {
  let state: StateFile | undefined
  try {
    state = JSON.parse(text)
  } catch {}
  if (state?.formatVersion === formatVersion && Number.isSafeInteger(state.step)) return state
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: `a training state of format version ${formatVersion}`,
    received: text.slice(0, 80),
    remedy:
      'Resume with the release of VQ that wrote it, or remove this checkpoint to go on from an older one.',
  })
}
