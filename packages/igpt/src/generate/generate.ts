import { tf } from '@vq/core'
import type { IGPT } from '../model/igpt.js'
import type { Vocabulary } from '../tokens/vocabulary.js'
import { behind, type Step } from './behind.js'
import { expectSampling, type SamplingOptions } from './sample.js'

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
  return continued(model, prompts, blank, imageSteps(vocabulary), options).map(ids =>
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
  return continued(model, prompts, undefined, textSteps(vocabulary), {
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
  const made = continued(model, prompts, undefined, steps, { ...options, guidance: 1 })
  return {
    words: made.map(ids => vocabulary.textWords(ids.subarray(0, vocabulary.textLength))),
    codes: made.map(ids => vocabulary.imageCodes(ids.subarray(vocabulary.textLength + 1))),
  }
}

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
  prompts: readonly Int32Array[],
  blank: Int32Array | undefined,
  steps: readonly Step[],
  options: SamplingOptions,
): Int32Array[] {
  expectSampling('IGPT sampling', options)
  const n = prompts.length
  if (n === 0) return []
  const guided = (options.guidance ?? 1) !== 1 && blank !== undefined
  const before = guided ? [...prompts, ...prompts.map(() => blank)] : prompts
  const length = before[0]?.length as number
  const prompt = tf.tensor2d(joined(before), [before.length, length], 'int32')
  try {
    const ids = behind(model, prompt, steps, guided ? options : { ...options, guidance: 1 })
    return prompts.map((_, row) => ids.slice(row * steps.length, (row + 1) * steps.length))
  } finally {
    prompt.dispose()
  }
}

function joined(rows: readonly Int32Array[]): Int32Array {
  const width = rows[0]?.length ?? 0
  const all = new Int32Array(rows.length * width)
  for (const [i, row] of rows.entries()) all.set(row, i * width)
  return all
}
