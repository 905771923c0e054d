import { expectConfig, expectInteger, expectNumber, type tf, VqConfigError } from '@vq/core'
import type { Module } from '@vq/core/nn'
import { Adam, constantSchedule, cosineSchedule, type Optimizer, type Schedule } from '@vq/core/optim'
import type { Values } from '../data/dataset.js'
import type { DataLoader } from '../data/loader.js'

/** What the Trainer trains: any module whose forward gives a loss. */
export interface Trainable extends Module {
  /**
   * Named results, among them the scalar `loss`; the other scalars become metrics. `x` is float32 or int32, as the data
   * is; `extras` are the fields that the data set gives beside it, by name, and absent where it gives none.
   */
  forward(x: tf.Tensor, extras?: Record<string, tf.Tensor>): { loss: tf.Scalar }
  /** Called once with the first batch before the first step, such as for a k-means start. */
  prepare?(x: tf.Tensor, extras?: Record<string, tf.Tensor>): Promise<void>
}

export interface ProgressEvent {
  step: number
  totalSteps: number
  epoch: number
  loss: number
  imagesPerSecond: number
  /** Estimated seconds to the end. */
  secondsLeft: number
}

export interface TrainerOptions {
  /** How often to go through the data; or give `steps`. */
  epochs?: number
  /** Number of training steps; or give `epochs`. */
  steps?: number
  /** Default 1e-3. */
  learningRate?: number
  /** 'constant', 'cosine' down to 0 at the last step, or a rate for each step from 1. Default 'constant'. */
  schedule?: 'constant' | 'cosine' | Schedule
  /** Steps over which the rate rises from 0. Default 0. */
  warmupSteps?: number
  /** Largest global norm of the gradients. Default 1; null for no clipping. */
  clipNorm?: number | null
  /** Makes the optimizer. Default: Adam. */
  optimizer?: (module: Module, learningRate: number) => Optimizer
  /** Folder for metrics.jsonl and checkpoints/. Default: nothing is written. */
  out?: string
  /** Steps between checkpoints. Default: one per epoch. The last step always makes one. */
  checkpointEvery?: number
  /** How many of the newest checkpoints stay. Default 2. */
  keep?: number
  /** Go on from the newest checkpoint in `out`, or start where there is none. Default false. */
  resume?: boolean
  /** Throw away what an earlier run left in `out`. Default false: such a folder is refused. */
  overwrite?: boolean
  /** A bar on a terminal, else a line every ten seconds, on standard error; or a function. Default true. */
  progress?: boolean | ((event: ProgressEvent) => void)
  /** Steps between lines of metrics.jsonl. Default 10. */
  logEvery?: number
  /** Seeds the global generator at the start of a run that is not resumed. Default: it goes on where it is. */
  seed?: number
  /** Ends training after the step in progress, with a checkpoint. */
  signal?: AbortSignal
}

export interface FitOptions {
  /** Measured in evaluation mode after each epoch and at the end. */
  validation?: DataLoader<Values>
}

/** A line of metrics.jsonl: the scalars of one step, or means over the validation data. */
export interface Metrics {
  step: number
  epoch: number
  split: 'train' | 'validation'
  loss: number
  [name: string]: number | string
}

export interface History {
  /** Steps taken in all, those before a resume included. */
  steps: number
  /** What was logged, as in metrics.jsonl, from this call. */
  metrics: Metrics[]
}

export interface Plan {
  totalSteps: number
  schedule: Schedule
  optimizer: Optimizer
}

/** Checks the options and works out what depends on model and data. */
export function plan(options: TrainerOptions, model: Trainable, stepsPerEpoch: number): Plan {
  const { epochs, steps, learningRate = 1e-3, schedule = 'constant', warmupSteps = 0 } = options
  expectConfig(
    (epochs === undefined) !== (steps === undefined),
    'Trainer',
    'either epochs or steps',
    epochs === undefined ? undefined : 'both',
    'Pass one of the two.',
  )
  if (epochs !== undefined) expectInteger('Trainer', 'epochs', epochs, 1)
  if (steps !== undefined) expectInteger('Trainer', 'steps', steps, 1)
  expectNumber('Trainer', 'learningRate', learningRate, 0, Number.MAX_VALUE)
  const totalSteps = steps ?? epochs! * stepsPerEpoch
  const optimizer =
    options.optimizer === undefined
      ? new Adam(model, { learningRate })
      : options.optimizer(model, learningRate)
  const rate = { learningRate, totalSteps, warmupSteps: Math.min(warmupSteps, totalSteps) }
  if (schedule === 'cosine') return { totalSteps, optimizer, schedule: cosineSchedule(rate) }
  if (schedule === 'constant')
    return { totalSteps, optimizer, schedule: constantSchedule(learningRate, warmupSteps) }
  if (typeof schedule === 'function') return { totalSteps, optimizer, schedule }
  throw new VqConfigError({
    operation: 'Trainer',
    expected: "schedule to be 'constant', 'cosine' or a function",
    received: String(schedule),
    remedy: 'Pass one of these.',
  })
}

/** Checks what needs no model. */
export function checkOptions(options: TrainerOptions): void {
  const { warmupSteps = 0, clipNorm = 1, checkpointEvery = 1, keep = 2, logEvery = 10 } = options
  expectInteger('Trainer', 'warmupSteps', warmupSteps, 0)
  if (clipNorm !== null) expectNumber('Trainer', 'clipNorm', clipNorm, Number.MIN_VALUE, Number.MAX_VALUE)
  expectInteger('Trainer', 'checkpointEvery', checkpointEvery, 1)
  expectInteger('Trainer', 'keep', keep, 1)
  expectInteger('Trainer', 'logEvery', logEvery, 1)
  if (options.seed !== undefined) expectInteger('Trainer', 'seed', options.seed, 0)
  const { resume = false, out } = options
  expectConfig(!resume || out !== undefined, 'Trainer', 'a folder `out` to resume from', out, 'Pass `out`.')
}
