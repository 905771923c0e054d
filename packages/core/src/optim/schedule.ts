import { expectInteger, expectNumber } from '../check.js'

/** Learning rate of step 1, 2, … */
export type Schedule = (step: number) => number

export interface CosineOptions {
  /** The highest rate, reached at the end of the warm-up. */
  learningRate: number
  /** Steps until the rate has fallen to `minLearningRate`, warm-up included. */
  totalSteps: number
  /** Steps over which the rate rises from 0 linearly. Default 0. */
  warmupSteps?: number
  /** Default 0. */
  minLearningRate?: number
}

/**
 * Linear warm-up, then half a cosine down to `minLearningRate`, where it stays.
 * Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, equation 5, without restarts.
 */
export function cosineSchedule(options: CosineOptions): Schedule {
  const { learningRate, totalSteps, warmupSteps = 0, minLearningRate = 0 } = options
  expectNumber('cosineSchedule', 'learningRate', learningRate, 0, Number.MAX_VALUE)
  expectNumber('cosineSchedule', 'minLearningRate', minLearningRate, 0, learningRate)
  expectInteger('cosineSchedule', 'totalSteps', totalSteps, 1)
  expectInteger('cosineSchedule', 'warmupSteps', warmupSteps, 0, totalSteps)
  return step => {
    if (step <= warmupSteps) return (learningRate * step) / warmupSteps
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps))
    return minLearningRate + (learningRate - minLearningRate) * 0.5 * (1 + Math.cos(Math.PI * progress))
  }
}

/** The same rate at every step after a linear warm-up from 0. */
export function constantSchedule(learningRate: number, warmupSteps = 0): Schedule {
  expectNumber('constantSchedule', 'learningRate', learningRate, 0, Number.MAX_VALUE)
  expectInteger('constantSchedule', 'warmupSteps', warmupSteps, 0)
  return step => (step < warmupSteps ? (learningRate * step) / warmupSteps : learningRate)
}
