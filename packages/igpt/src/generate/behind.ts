import { drawTokens, random as globalRandom, noGrad, Random, tf, VqShapeError } from '@vq/core'
import type { IGPT } from '../model/igpt.js'
import { expectSampling, type SamplingOptions } from './sample.js'

/** What may come next: an id among a range and others, or one that is certain. */
export type Step = { range: readonly [number, number]; also: readonly number[] } | { fixed: number }

/**
 * Goes on behind prompts, int32 [N, T] of ids: the `count` ids that follow each, int32 [N, count], drawn from all of the
 * vocabulary. One pass over the model for each token. Throws VqShapeError where the context has no room, VqConfigError for options
 * out of range.
 *
 * @example
 * const start = tf.fill([64, 1], vocabulary.bos, 'int32')
 * const ids = sampleTokens(model, start, 57, { temperature: 0.9, topK: 40, seed: 1 })
 */
export function sampleTokens(
  model: IGPT,
  prompts: tf.Tensor2D,
  count: number,
  options: Omit<SamplingOptions, 'guidance'> = {},
): tf.Tensor2D {
  expectSampling('sampleTokens', options)
  const { vocabSize, contextLength } = model.options
  const [n, length] = prompts.shape
  if (!(Number.isInteger(count) && count >= 1 && length + count - 1 <= contextLength))
    throw new VqShapeError({
      operation: 'sampleTokens',
      expected: `a count of 1 to ${contextLength - length + 1} behind ${length} tokens`,
      received: String(count),
      remedy: 'Make the model with a larger contextLength, or draw fewer.',
    })
  const step: Step = { range: [0, vocabSize], also: [] }
  const ids = behind(model, prompts, new Array<Step>(count).fill(step), { ...options, guidance: 1 })
  return tf.tensor2d(ids, [n, count], 'int32')
}

/**
 * The ids behind prompts [B, T], row by row. With guidance the second half of the prompts lacks the condition, and what is drawn for
 * the first half goes behind both.
 */
export function behind(
  model: IGPT,
  prompts: tf.Tensor2D,
  steps: readonly Step[],
  { guidance = 1, seed, ...how }: SamplingOptions,
): Int32Array {
  const copies = guidance === 1 ? 1 : 2
  const [rows] = prompts.shape
  const n = rows / copies
  const made = new Int32Array(n * steps.length)
  const random = seed === undefined ? globalRandom : new Random(seed)
  const wasTraining = model.training
  if (wasTraining) model.eval()
  const cache = model.cache()
  let next = prompts
  try {
    for (const [i, step] of steps.entries()) {
      const ids = tf.tidy(() => {
        const logits = noGrad(() => model.logits(next, cache, { last: true }))
        if ('fixed' in step) return tf.fill([rows, 1], step.fixed, 'int32') as tf.Tensor2D
        const scores = tf.reshape(logits, [rows, -1])
        return tf.reshape(drawTokens(scores, { ...how, ...step, guidance, copies, random }), [rows, 1])
      }) as tf.Tensor2D
      if (next !== prompts) next.dispose()
      next = ids
      const values = ids.dataSync()
      for (let row = 0; row < n; row++) made[row * steps.length + i] = values[row] as number
    }
    return made
  } finally {
    if (next !== prompts) next.dispose()
    cache.dispose()
    if (wasTraining) model.train()
  }
}
