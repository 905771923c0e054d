import { expectInteger, expectNumber, expectOneOf } from '../check.js'

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
    if (step <= warmupSteps && warmupSteps > 0) return (learningRate * step) / warmupSteps
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

export interface StepScheduleOptions {
  /** Rate of the first steps. */
  learningRate: number
  /** Steps between two changes, or the numbers of steps after which the rate changes, ascending. */
  every: number | readonly number[]
  /** What the rate is multiplied with at each change. Default 0.1. */
  gamma?: number
}

/** Falls by the factor `gamma` after every so many steps, or after the steps listed: PyTorch's StepLR and MultiStepLR. */
export function stepSchedule({ learningRate, every, gamma = 0.1 }: StepScheduleOptions): Schedule {
  expectNumber('stepSchedule', 'learningRate', learningRate, 0, Number.MAX_VALUE)
  expectNumber('stepSchedule', 'gamma', gamma, 0, Number.MAX_VALUE)
  if (typeof every === 'number') {
    expectInteger('stepSchedule', 'every', every, 1)
    return step => learningRate * gamma ** Math.floor((step - 1) / every)
  }
  for (const [i, at] of every.entries()) expectInteger('stepSchedule', `every[${i}]`, at, every[i - 1] ?? 0)
  return step => learningRate * gamma ** every.filter(at => step > at).length
}

export interface OneCycleOptions {
  /** The highest rate. */
  maxLearningRate: number
  /** Length of the cycle, at least 2. */
  totalSteps: number
  /** Share of the steps in which the rate rises, in (0, 1). Default 0.3. */
  pctStart?: number
  /** The first rate is maxLearningRate / divFactor. Default 25. */
  divFactor?: number
  /** The last rate is the first one / finalDivFactor. Default 1e4. */
  finalDivFactor?: number
  /** The shape of rise and fall. Default 'cos'. */
  anneal?: 'cos' | 'linear'
}

/**
 * One cycle: up to the highest rate, then down far below the first one, where it stays; PyTorch's OneCycleLR without the
 * cycle of momentum.
 * Source: Smith and Topin 2018, https://arxiv.org/abs/1708.07120, section 3.
 */
export function oneCycleSchedule(options: OneCycleOptions): Schedule {
  const { maxLearningRate, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = options
  const { anneal = 'cos' } = options
  expectNumber('oneCycleSchedule', 'maxLearningRate', maxLearningRate, 0, Number.MAX_VALUE)
  expectInteger('oneCycleSchedule', 'totalSteps', totalSteps, 2)
  expectNumber('oneCycleSchedule', 'pctStart', pctStart, 1e-9, 1 - 1e-9)
  expectNumber('oneCycleSchedule', 'divFactor', divFactor, 1e-9, Number.MAX_VALUE)
  expectNumber('oneCycleSchedule', 'finalDivFactor', finalDivFactor, 1e-9, Number.MAX_VALUE)
  expectOneOf('oneCycleSchedule', 'anneal', anneal, ['cos', 'linear'])
  const first = maxLearningRate / divFactor
  const last = first / finalDivFactor
  // Positions from 0, as PyTorch counts them; the rise ends between two steps where pctStart does not divide evenly.
  const top = pctStart * totalSteps - 1
  const end = totalSteps - 1
  const between = (from: number, to: number, share: number): number =>
    anneal === 'linear'
      ? from + (to - from) * share
      : to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share))
  return step => {
    const at = Math.min(Math.max(0, step - 1), end)
    if (at <= top) return top === 0 ? maxLearningRate : between(first, maxLearningRate, at / top)
    return between(maxLearningRate, last, (at - top) / (end - top))
  }
}
