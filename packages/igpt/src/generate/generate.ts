import { random as globalRandom, noGrad, Random, tf } from '@vq/core'
import type { IGPT } from '../model/igpt.js'
import type { Vocabulary } from '../tokens/vocabulary.js'
import { drawIds, expectSampling, type SamplingOptions } from './sample.js'

/** What comes out: codes of images [N, places · levels], place by place, and numbers of words. */
export interface Generated {
  codes: Int32Array[]
  words: Int32Array[]
}

/** Images for texts (numbers of words each), all in one batch: one pass over the model for each token. */
export function imagesForTexts(
  model: IGPT,
  vocabulary: Vocabulary,
  texts: readonly ArrayLike<number>[],
  options: SamplingOptions = {},
): Int32Array[] {
  const prompts = texts.map(words => vocabulary.promptForImage(vocabulary.textIds(words)))
  const blank = vocabulary.promptForImage()
  return continued(model, vocabulary, prompts, blank, imageSteps(vocabulary), options).map(ids =>
    vocabulary.imageCodes(ids),
  )
}

/** Texts, as numbers of words, for images (codes each, place by place). */
export function textsForImages(
  model: IGPT,
  vocabulary: Vocabulary,
  images: readonly ArrayLike<number>[],
  options: SamplingOptions = {},
): Int32Array[] {
  const prompts = images.map(codes => vocabulary.promptForText(vocabulary.imageIds(codes)))
  return continued(model, vocabulary, prompts, undefined, textSteps(vocabulary), {
    ...options,
    guidance: 1,
  }).map(ids => vocabulary.textWords(ids))
}

/** Pairs that nobody asked for: a text, then the image that it asks for. */
export function unconditional(
  model: IGPT,
  vocabulary: Vocabulary,
  count: number,
  options: SamplingOptions = {},
): Generated {
  const start = Int32Array.of(vocabulary.bos, vocabulary.endOfImage)
  const prompts = Array.from({ length: count }, () => start)
  const steps: Step[] = [...textSteps(vocabulary), { fixed: vocabulary.endOfText }, ...imageSteps(vocabulary)]
  const made = continued(model, vocabulary, prompts, undefined, steps, { ...options, guidance: 1 })
  return {
    words: made.map(ids => vocabulary.textWords(ids.subarray(0, vocabulary.textLength))),
    codes: made.map(ids => vocabulary.imageCodes(ids.subarray(vocabulary.textLength + 1))),
  }
}

/** What may come next: an id among a range and others, or one that is certain. */
type Step = { range: readonly [number, number]; also: readonly number[] } | { fixed: number }

const imageSteps = (vocabulary: Vocabulary): Step[] =>
  Array.from({ length: vocabulary.imageLength }, (_, at) => ({ range: vocabulary.imageRange(at), also: [] }))

const textSteps = (vocabulary: Vocabulary): Step[] =>
  Array.from({ length: vocabulary.textLength }, () => ({
    range: vocabulary.wordRange,
    also: [vocabulary.pad],
  }))

// The tokens behind the prompts, all of one length. With guidance the batch is doubled: its second half knows no condition.
function continued(
  model: IGPT,
  { size }: Vocabulary,
  prompts: readonly Int32Array[],
  blank: Int32Array | undefined,
  steps: readonly Step[],
  options: SamplingOptions,
): Int32Array[] {
  expectSampling('IGPT sampling', options)
  const { guidance = 1, seed } = options
  const n = prompts.length
  if (n === 0) return []
  const generator = seed === undefined ? globalRandom : new Random(seed)
  const guided = guidance !== 1 && blank !== undefined
  const before = guided ? [...prompts, ...prompts.map(() => blank)] : prompts
  const length = before[0]?.length as number
  const made = prompts.map(() => new Int32Array(steps.length))
  const wasTraining = model.training
  model.eval()
  const cache = model.cache()
  try {
    let next = tf.tensor2d(joined(before), [before.length, length], 'int32')
    for (const [i, step] of steps.entries()) {
      const ids =
        'fixed' in step
          ? new Int32Array(n).fill(step.fixed)
          : drawIds(
              logitsOf(model, next, cache, guided ? guidance : 1, n),
              size,
              step.range,
              options,
              generator,
              step.also,
            )
      if ('fixed' in step) logitsOf(model, next, cache, 1, n)
      next.dispose()
      for (const [row, id] of ids.entries()) (made[row] as Int32Array)[i] = id
      const all = guided ? Int32Array.of(...ids, ...ids) : ids
      next = tf.tensor2d(all, [all.length, 1], 'int32')
    }
    next.dispose()
    return made
  } finally {
    cache.dispose()
    model.train(wasTraining)
  }
}

// Logits [n, V] of the token behind `ids`, which join the cache.
function logitsOf(
  model: IGPT,
  ids: tf.Tensor2D,
  cache: ReturnType<IGPT['cache']>,
  guidance: number,
  n: number,
): Float32Array {
  return tf.tidy(() => {
    const [, length] = ids.shape
    const all = noGrad(() => model.logits(ids, cache))
    const last = tf.reshape(tf.slice(all, [0, length - 1, 0], [-1, 1, -1]), [ids.shape[0], -1])
    if (guidance === 1) return Float32Array.from(tf.slice(last, [0, 0], [n, -1]).dataSync())
    const [known, free] = tf.split(last, 2) as [tf.Tensor, tf.Tensor]
    return Float32Array.from(tf.add(free, tf.mul(tf.sub(known, free), guidance)).dataSync())
  }) as unknown as Float32Array
}

function joined(rows: readonly Int32Array[]): Int32Array {
  const width = rows[0]?.length ?? 0
  const all = new Int32Array(rows.length * width)
  for (const [i, row] of rows.entries()) all.set(row, i * width)
  return all
}
