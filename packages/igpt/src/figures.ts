import { join } from 'node:path'
import { tf } from '@vq/core'
import { ArrayDataset, type Dataset } from '@vq/models/data'
import { convergence, sampleGrid } from '@vq/models/plot'
import type { Multimodal } from './artifact.js'
import { imagesForTexts, textsForImages, unconditional } from './generate/generate.js'
import type { SamplingOptions } from './generate/sample.js'
import { type ImageModel, imagesOfCodes } from './images/image-model.js'
import { imageTokens } from './train/tokens.js'
import type { Captioned, StageResult } from './train/two-stage.js'

/** Images of codes, values 0 to 1: [N, H, W, C]. */
export function drawn(
  images: ImageModel,
  codes: readonly Int32Array[],
  grid?: readonly [number, number],
): { values: Float32Array; shape: number[] } {
  const result = tf.tidy(() => tf.clipByValue(tf.div(tf.add(imagesOfCodes(images, codes, grid), 1), 2), 0, 1))
  const values = Float32Array.from(result.dataSync())
  const { shape } = result
  result.dispose()
  return { values, shape }
}

/** The first images of a data set, with their captions where it has some, as a PNG or SVG file. */
export async function drawData(
  file: string,
  data: Dataset,
  { count = 24, title = 'The data' }: { count?: number; title?: string } = {},
): Promise<void> {
  const n = Math.min(count, data.length)
  const values = await data.batch(Int32Array.from({ length: n }, (_, i) => i))
  const { captions } = data
  const figure = await sampleGrid(values, {
    shape: [n, ...data.shape],
    title,
    ...(captions && { captions: captions.slice(0, n) }),
  })
  await figure.save(file)
}

/** Rows of codes of images of values 0 to 1, [N, H, W, C]. */
export async function codesOf(
  images: ImageModel,
  values: Float32Array,
  [, ...shape]: readonly number[],
): Promise<Int32Array[]> {
  const { codes, count } = await imageTokens(images, new ArrayDataset(values, shape), { pixels: 'signed' })
  const each = codes.length / count
  return Array.from({ length: count }, (_, i) => codes.subarray(i * each, (i + 1) * each))
}

/** Losses of both stages, of training and of what was held out. */
export async function drawCurves(file: string, stages: Readonly<Record<string, StageResult>>): Promise<void> {
  const runs = Object.entries(stages).flatMap(([name, { history }]) =>
    (['train', 'validation'] as const).map(split => ({
      name: `${name}, ${split === 'train' ? 'training' : 'held out'}`,
      points: history.metrics.filter(m => m.split === split).map(({ step, loss }) => ({ step, value: loss })),
    })),
  )
  const known = runs.filter(run => run.points.length > 0)
  await (await convergence(known, { metric: 'loss', title: 'Losses of both stages' })).save(file)
}

/** The three sample figures of the Python system, into a folder. */
export async function drawSamples(
  folder: string,
  all: Multimodal,
  test: Captioned,
  options: SamplingOptions,
): Promise<void> {
  const { images, model, vocabulary, tokenizer, grid } = all
  const count = Math.min(24, test.length)
  const at = Int32Array.from({ length: count }, (_, i) => i)
  const captions = Array.from(at, i => test.captions[i] as string)
  const texts = captions.map(text => tokenizer.encode(text))
  const asked = drawn(images, imagesForTexts(model, vocabulary, texts, options), grid)
  await (
    await sampleGrid(asked.values, { shape: asked.shape, captions, title: 'Images that captions ask for' })
  ).save(join(folder, 'text_conditioned_samples.png'))
  const values = await test.batch(at)
  const codes = await codesOf(images, values, [count, ...test.shape])
  const told = textsForImages(model, vocabulary, codes, { ...options, guidance: 1 }).map(words =>
    tokenizer.decode(words),
  )
  await (
    await sampleGrid(values, {
      shape: [count, ...test.shape],
      captions: told,
      title: 'What images are said to show',
    })
  ).save(join(folder, 'image_conditioned_samples.png'))
  const free = unconditional(model, vocabulary, 24, options)
  const pairs = drawn(images, free.codes, grid)
  const said = free.words.map(words => tokenizer.decode(words))
  await (
    await sampleGrid(pairs.values, {
      shape: pairs.shape,
      captions: said,
      title: 'Pairs that nobody asked for',
    })
  ).save(join(folder, 'unconditional_samples.png'))
}
