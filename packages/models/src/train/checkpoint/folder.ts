import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { RandomState } from '@vq/core'
import type { Module } from '@vq/core/nn'
import type { Optimizer } from '@vq/core/optim'
import type { Values } from '../../data/dataset.js'
import type { DataLoader, DataLoaderState } from '../../data/loader.js'
import type { WeightAverage } from '../weight-average.js'

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
export const nameOf = (step: number): string => `step-${String(step).padStart(8, '0')}`

/** Where a run in `out` keeps its checkpoints and its best weights. */
export const checkpointsIn = (out: string): string => join(out, 'checkpoints')
export const bestIn = (out: string): string => join(out, 'best')

/** Weights in a checkpoint, each file of use alone: `model.loadStateDict((await loadSafetensors(path)).tensors)`. */
export const weightFiles = { model: 'model.safetensors', average: 'average.safetensors' } as const
export const optimizerFile = 'optimizer.safetensors'

/** Names of the checkpoints in a folder, oldest first. */
export async function listCheckpoints(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[])
  const step = (name: string): number => Number(pattern.exec(name)![1])
  return names.filter(name => pattern.test(name)).sort((a, b) => step(a) - step(b))
}
