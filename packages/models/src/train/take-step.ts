import type { tf } from '@vq/core'
import type { Module } from '@vq/core/nn'
import type { Optimizer, Schedule } from '@vq/core/optim'
import type { Values } from '../data/dataset.js'
import type { Batch, DataLoader } from '../data/loader.js'
import { drawsOf, explain } from './non-finite.js'
import { OptimizerStep, type StepResult } from './optimizer-step.js'
import type { Trainable, TrainerOptions } from './options.js'
import type { Pace } from './pace.js'
import { disposeInputs, inputsOf } from './tensors.js'
import type { WeightAverage } from './weight-average.js'

export interface Step extends StepResult {
  step: number
  learningRate: number
  samples: number
  /** From 0, and whether it ends with this step. */
  epoch: number
  last: boolean
}

/** What a step needs. */
export interface StepContext {
  model: Trainable
  loader: DataLoader<Values>
  optimizer: Optimizer
  average: WeightAverage | undefined
  schedule: Schedule
  totalSteps: number
  options: Readonly<TrainerOptions>
  /** Names of the parameters. */
  names: ReadonlyMap<tf.Variable, string>
  /** Modules with generators of their own. */
  drawing: readonly Module[]
  pace: Pace
}

/** Fetches the batches of one step of the optimizer and takes it. Throws NonFiniteError, the parameters as they were. */
export async function takeStep(step: number, context: StepContext): Promise<Step> {
  const { model, loader, optimizer, average, schedule, totalSteps, options, names, drawing, pace } = context
  const { accumulate = 1, clipNorm = 1 } = options
  const alone = accumulate === 1
  const learningRate = schedule(step)
  const draws = drawsOf(drawing)
  const update = new OptimizerStep(optimizer, names)
  const batches: Batch<Values>[] = []
  const left = (totalSteps - step + 1) * accumulate - 1
  pace.begin()
  try {
    do {
      const batch = await pace.forData(loader.next(left - batches.length))
      batches.push(batch)
      const inputs = inputsOf(batch)
      try {
        update.add(() => model.forward(...inputs), batch.indices.length, alone)
      } finally {
        disposeInputs(inputs)
      }
    } while (batches.length < accumulate && !batches[batches.length - 1].last)
    const result = update.finish({ learningRate, clipNorm, alone })
    average?.update()
    const { epoch, last } = batches[batches.length - 1]
    pace.end(update.samples)
    return { ...result, step, learningRate, samples: update.samples, epoch, last }
  } catch (error) {
    throw batches.length === 0 ? error : explain(error, model, batches, { step, learningRate, draws })
  } finally {
    update.dispose()
  }
}
