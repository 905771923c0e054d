import { expectShape, tf } from '@vq/core'
import type { Multimodal } from './artifact.js'
import { codesOf, drawn } from './figures.js'
import { imagesForTexts, textsForImages, unconditional } from './generate/generate.js'
import type { SamplingOptions } from './generate/sample.js'

export interface DrawnImages {
  /** Values 0 to 1, image after image. */
  values: Float32Array
  /** [N, H, W, C] */
  shape: number[]
  /** Codes of each image. */
  codes: Int32Array[]
}

/**
 * Images for captions, one each, in one batch. Options that are left out are those that were kept with the models.
 * Throws VqValueError for words that the models do not know.
 *
 * @example
 * const models = await loadMultimodal('checkpoints')
 * const { values, shape } = generateFromText(models, 'light red 7 on dark blue', { seed: 1 })
 */
export function generateFromText(
  { images, model, vocabulary, tokenizer, grid, sampling }: Multimodal,
  captions: string | readonly string[],
  options: SamplingOptions = {},
): DrawnImages {
  const texts = [captions].flat().map(caption => tokenizer.encode(caption))
  const codes = imagesForTexts(model, vocabulary, texts, { ...sampling, ...options })
  return { ...drawn(images, codes, grid), codes }
}

/**
 * What images [N, H, W, C] of values 0 to 1 show: a caption each. By default the likeliest word is taken each time.
 * Throws VqShapeError for other shapes.
 */
export async function generateFromImage(
  { images, model, vocabulary, tokenizer }: Multimodal,
  pictures: tf.Tensor | { values: Float32Array; shape: readonly number[] },
  options: SamplingOptions = {},
): Promise<string[]> {
  const { shape } = pictures
  expectShape(
    shape.length === 4 && (shape[0] as number) > 0,
    'generateFromImage',
    'images [N, H, W, C]',
    `[${shape.join(', ')}]`,
    'Put a single image into a batch.',
  )
  const values = pictures instanceof tf.Tensor ? await pictures.data<'float32'>() : pictures.values
  const codes = await codesOf(images, values, shape)
  const told = textsForImages(model, vocabulary, codes, { temperature: 0, ...options })
  return told.map(words => tokenizer.decode(words))
}

/** Pairs that nobody asked for: captions, and the images that they ask for. */
export function generateUnconditional(
  { images, model, vocabulary, tokenizer, grid, sampling }: Multimodal,
  count: number,
  options: SamplingOptions = {},
): DrawnImages & { captions: string[] } {
  const { codes, words } = unconditional(model, vocabulary, count, { ...sampling, ...options })
  return { ...drawn(images, codes, grid), codes, captions: words.map(w => tokenizer.decode(w)) }
}
