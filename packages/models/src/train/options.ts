import type { tf } from '@vq/core'
import type { Module } from '@vq/core/nn'
import type { Optimizer, Schedule } from '@vq/core/optim'
import type { Values } from '../data/dataset.js'
import type { DataLoader } from '../data/loader.js'
import type { EarlyStoppingOptions, MonitorOptions } from './monitor.js'

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
  /** From 0. */
  epoch: number
  totalEpochs: number
  loss: number
  /** Samples per second, of this process. */
  imagesPerSecond: number
  /** Estimated seconds to the end. */
  secondsLeft: number
}

/** What a callback is told; it may read the model, and change nothing of it. */
export interface StepEvent {
  model: Trainable
  step: number
  totalSteps: number
  /** From 0. */
  epoch: number
  learningRate: number
  /** Of all gradients, before clipping. */
  gradientNorm: number
  /** Every scalar of the forward, `loss` among them. */
  scalars: Readonly<Record<string, number>>
}

export interface EpochEvent extends EpochSummary {
  model: Trainable
}

export interface ValidationEvent {
  model: Trainable
  step: number
  epoch: number
  /** Means over the validation data. */
  means: Readonly<Record<string, number>>
  /** Whether the monitored metric has never been better. */
  best: boolean
}

export interface TrainerOptions {
  /** How often to go through the data; or give `steps`. */
  epochs?: number
  /** Number of training steps; or give `epochs`. */
  steps?: number
  /** As how many epochs one pass over the data counts, such as over several versions of each sample. Default 1. */
  epochsPerPass?: number
  /** Default 1e-3. */
  learningRate?: number
  /** 'constant', 'cosine' down to 0 at the last step, or a rate for each step from 1. Default 'constant'. */
  schedule?: 'constant' | 'cosine' | Schedule
  /** Steps over which the rate rises from 0. Default 0. */
  warmupSteps?: number
  /** Largest global norm of the gradients. Default 1; null for no clipping. */
  clipNorm?: number | null
  /** Makes the optimizer, with parameter groups where wanted. Default: Adam. */
  optimizer?: (module: Module, learningRate: number) => Optimizer
  /**
   * Batches whose gradients make one step; fewer at the end of an epoch. Each counts by its samples, so that the step is
   * that of one large batch, to rounding, as far as the loss is a mean over samples: batch normalisation and codebooks that
   * move by averages still see one batch at a time. Default 1.
   */
  accumulate?: number
  /** Keeps an exponential moving average of the weights (see WeightAverage), such as 0.999; evaluation uses it. Default: none. */
  averageDecay?: number
  /** Steps between evaluations of the validation data; the last step always makes one. Default: one per epoch. */
  validateEvery?: number
  /** What makes an evaluation the best, which is kept in `out`/best. Default: the least loss. */
  monitor?: MonitorOptions
  /** Ends training where evaluations bring no improvement any more. Default: none. */
  earlyStopping?: EarlyStoppingOptions
  /** What the model holds in the end: the weights of the last step, their average, or the best in `out`. Default 'last'. */
  finalWeights?: 'last' | 'average' | 'best'
  /** Folder for metrics.jsonl, events/, checkpoints/ and best/. Default: nothing is written. */
  out?: string
  /** Whether `out`/events gets TensorBoard's event files. Default true. */
  tensorboard?: boolean
  /** Steps between checkpoints. Default: one per epoch. The last step always makes one. */
  checkpointEvery?: number
  /** How many of the newest checkpoints stay. Default 2. */
  keep?: number
  /** Go on from the newest sound checkpoint in `out`, or start where there is none. Default false. */
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
  /**
   * Whether the first SIGINT (Ctrl-C) or SIGTERM ends training as `signal` does, by a TrainingInterrupted whose `exitCode` a
   * program exits with; a second one does what it does without us. Only during `fit`. Default: true without `signal`.
   */
  handleSignals?: boolean
  /** Called after each step; training waits for it. */
  onStep?: (event: StepEvent) => void | Promise<void>
  /** Called after each epoch, evaluation included. */
  onEpoch?: (event: EpochEvent) => void | Promise<void>
  /** Called after each evaluation of the validation data. */
  onValidation?: (event: ValidationEvent) => void | Promise<void>
  /** Told what went wrong without ending the run, such as a damaged checkpoint. Default: a line on standard error. */
  onWarning?: (message: string) => void
}

export interface FitOptions {
  /** Measured in evaluation mode after each epoch, or every `validateEvery` steps, and at the end; from its start each time. */
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

/** An epoch that was completed. */
export interface EpochSummary {
  /** From 0. */
  epoch: number
  /** Its last step. */
  step: number
  /** Means over its samples, as they were met. */
  train: Record<string, number>
  /** Means over the validation data at its end, where they were measured. */
  validation?: Record<string, number>
}

/** What a run did, what came before a resume included. */
export interface History {
  /** Steps taken in all. */
  steps: number
  /** What was logged, as in metrics.jsonl: what `trainingCurves` of `@vq/models/plot` draws. */
  metrics: Metrics[]
  epochs: EpochSummary[]
  /** The best evaluation: its step and the value of the monitored metric. */
  best?: { step: number; value: number }
  /** Whether early stopping ended it. */
  stoppedEarly: boolean
  /** The step that this call went on from; 0 where it began anew. */
  resumedFrom: number
  /** Seconds that this call took. */
  seconds: number
  /** Share of the time of this call that was spent waiting for data, 0 to 1. */
  dataWait: number
}
