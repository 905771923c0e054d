import { Random } from '@vq/core'
import { drawsInTraining, type ResolvedTraining } from './training-options.js'

/** The generators of one training step. */
export interface StepDraws {
  /** Draws codes; each process has its own. */
  codes: Random
  /** Draws what losses look at, alike in all processes. */
  losses: Random
}

/**
 * The generators of a training step, where it draws numbers. `random` gives one number for both, however many vectors there
 * are: in processes that train together it stays alike.
 */
export function stepDraws(
  random: Random,
  options: ResolvedTraining & { numEmbeddings: number },
  rank = 0,
): StepDraws | undefined {
  if (!drawsInTraining(options, options.numEmbeddings)) return undefined
  const losses = new Random(random.integer(2 ** 53 - 1))
  return { codes: losses.fork(rank + 1), losses }
}
