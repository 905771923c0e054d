import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type RandomState, random, VqFormatError } from '@vq/core'
import {
  loadSafetensors,
  recoverFolder,
  type StateDict,
  saveSafetensors,
  writeFolderAtomic,
} from '@vq/core/io'
import type { Module } from '@vq/core/nn'
import type { Optimizer } from '@vq/core/optim'
import { formatVersion } from '../artifact/artifact.js'
import type { Values } from '../data/dataset.js'
import type { DataLoader, DataLoaderState } from '../data/loader.js'
import type { WeightAverage } from './weight-average.js'

/** Everything that moves during training. */
export interface TrainingState {
  model: Module
  optimizer: Optimizer
  loader: DataLoader<Values>
  average?: WeightAverage | undefined
}

/** state.json of a checkpoint. */
export interface StateFile {
  formatVersion: number
  step: number
  loader: DataLoaderState
  random: RandomState
  /** Extra states of modules by name. */
  modules: Record<string, unknown>
  /** Steps that went into the averaged weights, where there are such. */
  averageUpdates?: number
  /** What the caller keeps beside: records, sums. */
  more?: unknown
  /** Length and CRC-32 of the other files. */
  files?: Record<string, { bytes: number; crc32: number }>
}

const pattern = /^step-(\d{8,})$/
const nameOf = (step: number): string => `step-${String(step).padStart(8, '0')}`

/** Where a run in `out` keeps its checkpoints and its best weights. */
export const checkpointsIn = (out: string): string => join(out, 'checkpoints')
export const bestIn = (out: string): string => join(out, 'best')

/** Weights in a checkpoint, each file of use alone: `model.loadStateDict((await loadSafetensors(path)).tensors)`. */
const weightFiles = { model: 'model.safetensors', average: 'average.safetensors' } as const
const optimizerFile = 'optimizer.safetensors'

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

/** A file of a checkpoint is missing, cut off or changed. */
class DamagedError extends VqFormatError {
  constructor(path: string, received: string, cause?: unknown) {
    super({
      operation: `reading ${path}`,
      expected: 'the file that was written',
      received,
      remedy: 'Go on from an older checkpoint, or start over with overwrite: true.',
      cause,
    })
  }
}

/** state.json of a checkpoint. Throws VqFormatError. */
export async function readState(checkpoint: string): Promise<StateFile> {
  const path = join(checkpoint, 'state.json')
  let text = ''
  let state: StateFile | undefined
  try {
    text = await readFile(path, 'utf8')
    state = JSON.parse(text)
  } catch (error) {
    throw new DamagedError(path, text === '' ? 'nothing' : 'no JSON', error)
  }
  if (state?.formatVersion === formatVersion && Number.isSafeInteger(state.step)) return state
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: `a training state of format version ${formatVersion}`,
    received: text.slice(0, 80),
    remedy:
      'Resume with the release of VQ that wrote it, or remove this checkpoint to go on from an older one.',
  })
}

async function readTensors(checkpoint: string, name: string, { files }: StateFile): Promise<StateDict> {
  const path = join(checkpoint, name)
  const bytes = await readFile(path).catch(error => {
    throw new DamagedError(path, (error as NodeJS.ErrnoException).code ?? 'nothing', error)
  })
  const wanted = files?.[name]
  if (wanted !== undefined && wanted.bytes !== bytes.length)
    throw new DamagedError(path, `${bytes.length} bytes instead of ${wanted.bytes}`)
  if (wanted !== undefined && wanted.crc32 !== crc32(bytes)) throw new DamagedError(path, 'other bytes')
  try {
    return (await loadSafetensors(path)).tensors
  } catch (error) {
    throw new DamagedError(path, (error as Error).message, error)
  }
}
