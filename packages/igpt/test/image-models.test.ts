import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqFormatError, VqShapeError, VqValueError } from '@vq/core'
import {
  codebooksOf,
  drawData,
  generateFromImage,
  generateFromText,
  generateUnconditional,
  type ImageModelOptions,
  imagesOfCodes,
  imageTokens,
  loadImageModel,
  loadMultimodal,
  makeImageModel,
  pairSequences,
  saveMultimodal,
  TextTokenizer,
  trainImageModel,
  trainPairModel,
  Vocabulary,
} from '@vq/igpt'
import { coloredDigits, type Dataset } from '@vq/models/data'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-igpt-models-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const shared = { hiddenDims: [8], embeddingDim: 8, numEmbeddings: 16 } as const
const kinds: [string, ImageModelOptions, { whole: number[]; levels: number[] }, number][] = [
  ['VQVAE', { ...shared }, { whole: [], levels: [16] }, 16],
  ['RQVAE', { kind: 'rqvae', ...shared, numQuantizers: 2 }, { whole: [], levels: [16, 16] }, 32],
  [
    'StyleVQVAE',
    {
      kind: 'style',
      ...shared,
      hiddenDims: [8, 8],
      styleHeads: 3,
      styleLevels: 1,
      styleEmbeddings: 5,
      styleDim: 4,
    },
    { whole: [5, 5, 5], levels: [16] },
    19,
  ],
]
const digits = (count: number, offset = 0) => coloredDigits({ count, size: 16, offset })

describe.each(kinds)('%s', (name, options, books, length) => {
  test('its tokens, and the images of them', async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const model = makeImageModel(options).eval()
    expect(codebooksOf(model)).toEqual(books)
    const data = digits(3)
    const { codes, count, grid, levels, whole } = await imageTokens(model, data)
    expect({ each: codes.length / count, grid, levels, whole }).toEqual({
      each: length,
      grid: [4, 4],
      levels: books.levels.length,
      whole: books.whole.length,
    })
    const rows = [0, 1, 2].map(i => codes.subarray(i * length, (i + 1) * length))
    const made = imagesOfCodes(model, rows)
    const x = tf.tensor4d(await data.batch(Int32Array.of(0, 1, 2)), [3, 16, 16, 3])
    const { reconstructed } = model.forward(x)
    expect(tf.max(tf.abs(tf.sub(made, reconstructed))).dataSync()[0]).toBeLessThan(1e-5)
    const path = join(folder, name)
    await model.save(path)
    const again = await loadImageModel(path)
    expect(again.constructor.name).toBe(name)
    expect((await imageTokens(again, data)).codes).toEqual(codes)
  })

  test('both stages, files, and three ways to generate', { timeout: 60_000 }, async () => {
    const quiet = { progress: false, epochs: 1, batchSize: 16 } as const
    const [train, test] = [digits(32), digits(8, 32)]
    const first = await trainImageModel(train, test, { ...quiet, schedule: 'cosine', model: options })
    const second = await trainPairModel(first.model, train, test, {
      ...quiet,
      textWeight: 3,
      warmupSteps: 1,
      model: { dModel: 16, nHeads: 2, nLayers: 1, dropout: 0 },
    })
    expect([first.testLosses.length, second.testLosses.length]).toEqual([1, 1])
    expect(second.vocabulary.sequenceLength).toBe(3 + length + 6)
    const path = join(folder, `${name}-all`)
    const sampling = { temperature: 0.5, topK: 3, guidance: 2 }
    await saveMultimodal(path, { ...second, images: first.model, sampling })
    const all = await loadMultimodal(path)
    expect(all.sampling).toEqual(sampling)

    const captions = test.captions.slice(0, 2)
    const drawn = generateFromText(all, captions, { seed: 4 })
    expect([drawn.shape, drawn.codes.length, drawn.values.every(v => v >= 0 && v <= 1)]).toEqual([
      [2, 16, 16, 3],
      2,
      true,
    ])
    // The kept options are those that count where none are given.
    const { model, vocabulary, images } = all
    expect(generateFromText(all, captions, { ...sampling, seed: 4 }).codes).toEqual(drawn.codes)
    expect(generateFromText({ ...second, images }, captions, { ...sampling, seed: 4 }).codes).toEqual(
      drawn.codes,
    )
    expect([model.training, vocabulary.wholeSizes]).toEqual([false, books.whole])
    expect(() => generateFromText(all, 'light rad 7 on dark blue')).toThrow(VqValueError)
    const told = await generateFromImage(all, { values: drawn.values, shape: drawn.shape })
    expect(told).toEqual(await generateFromImage(all, tf.tensor(drawn.values, drawn.shape)))
    for (const text of told) expect(() => all.tokenizer.encode(text)).not.toThrow()
    await expect(generateFromImage(all, tf.zeros([16, 16, 3]))).rejects.toThrow(VqShapeError)
    const free = generateUnconditional(all, 3, { seed: 1 })
    expect([free.shape, free.captions.length]).toEqual([[3, 16, 16, 3], 3])
  })
})

describe('codes of the whole image', () => {
  test('come before the places in either order, and every id comes back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom('depth' as const, 'level' as const),
        fc.nat(),
        (wholeSizes, codebookSizes, places, order, seed) => {
          const v = new Vocabulary({ wholeSizes, codebookSizes, places, words: 3, textLength: 2, order })
          const sizes = [...wholeSizes, ...Array.from({ length: places }, () => codebookSizes).flat()]
          const codes = sizes.map((size, i) => (seed + 7 * i) % size)
          const ids = v.imageIds(codes)
          expect(ids).toHaveLength(v.imageLength)
          expect(Array.from(v.imageCodes(ids))).toEqual(codes)
          for (const [at, id] of ids.entries()) {
            const [first, end] = v.imageRange(at)
            expect(id >= first && id < end).toBe(true)
            if (at < wholeSizes.length) expect(end - first).toBe(wholeSizes[at])
          }
          const total = [...wholeSizes, ...codebookSizes].reduce((a, b) => a + b)
          expect([v.bos, v.size]).toEqual([total + 3, total + 8])
        },
      ),
      { numRuns: 100 },
    )
    const v = new Vocabulary({ wholeSizes: [4], codebookSizes: [2], places: 2, words: 1, textLength: 1 })
    expect(() => v.imageIds([4, 0, 0])).toThrow(/code 0 of the whole/)
    expect(() => v.imageIds([0, 2, 0])).toThrow(/level 0/)
    expect(() => v.imageIds([0, 0])).toThrow(/1 \+ 2 × 1 codes/)
  })

  test('words weigh what they are told to where they tell of an image, and blanks nothing', async () => {
    const vocabulary = new Vocabulary({
      wholeSizes: [4],
      codebookSizes: [2],
      places: 2,
      words: 2,
      textLength: 2,
    })
    const tokenizer = new TextTokenizer(['a b'])
    const tokens = {
      codes: Int32Array.of(3, 1, 0, 2, 0, 1),
      count: 2,
      grid: [1, 2] as const,
      levels: 1,
      whole: 1,
    }
    const data = pairSequences(tokens, ['a b', 'b a'], {
      vocabulary,
      tokenizer,
      blankEvery: 2,
      textWeight: 5,
      wholeWeight: 3,
    })
    expect([data.length, data.shape]).toEqual([4, [8]])
    const at = Int32Array.of(0, 1, 2)
    const { bos, endOfImage: eoi, endOfText: eot, blank } = vocabulary
    // Ids: the whole's codes 0 to 3, the places' 4 and 5, words 6 and 7.
    expect(Array.from(await data.batch(at))).toEqual(
      [[bos, eoi, 6, 7, eot, 3, 5, 4], [bos, eoi, blank, blank, eot, 2, 4, 5], [bos, eot, 3, 5, 4, eoi, 6, 7]].flat(), // biome-ignore format: one line
    )
    const { parts, weights } = (await data.extras?.(at)) ?? {}
    expect(Array.from(parts?.values ?? [])).toEqual(
      [[0, 0, 2, 2, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 2, 2]].flat(), // biome-ignore format: one line
    )
    expect(Array.from(weights?.values ?? [])).toEqual(
      [[1, 1, 1, 1, 1, 3, 1, 1], [1, 1, 0, 0, 1, 3, 1, 1], [1, 1, 3, 1, 1, 1, 5, 5]].flat(), // biome-ignore format: one line
    )
  })
})

test('grids that are not square come back as they were', { timeout: 30_000 }, async () => {
  const tall: Dataset & { captions: string[] } = {
    length: 8,
    shape: [8, 16, 3],
    captions: Array.from({ length: 8 }, (_, i) => `number ${i % 2}`),
    batch: at =>
      Float32Array.from({ length: at.length * 384 }, (_, i) =>
        (at[Math.floor(i / 384)] as number) % 2 ? 0.9 : (i % 7) / 7,
      ),
  }
  const quiet = { progress: false, epochs: 1, batchSize: 8 } as const
  const first = await trainImageModel(tall, tall, { ...quiet, model: shared })
  const second = await trainPairModel(first.model, tall, tall, {
    ...quiet,
    model: { dModel: 16, nHeads: 2, nLayers: 1 },
  })
  expect(second.grid).toEqual([2, 4])
  const path = join(folder, 'wide')
  await saveMultimodal(path, { ...second, images: first.model })
  const all = await loadMultimodal(path)
  expect(generateFromText(all, 'number 1').shape).toEqual([1, 8, 16, 3])
  expect(generateUnconditional(all, 2).shape).toEqual([2, 8, 16, 3])
})

test('folders of something else are refused, and data is drawn as a picture', async () => {
  await expect(loadImageModel(join(folder, 'nowhere'))).rejects.toThrow(VqFormatError)
  writeFileSync(join(folder, 'config.json'), '{"model":"AutoEncoder"}')
  await expect(loadImageModel(folder)).rejects.toThrow(/VQVAE, RQVAE, StyleVQVAE/)
  expect(() => makeImageModel({ kind: 'other' } as never)).toThrow(/'style'/)
  const file = join(folder, 'data.png')
  await drawData(file, digits(5), { count: 4, title: 'Some' })
  const { format, width } = await sharp(file).metadata()
  expect([format, (width as number) > 100]).toEqual(['png', true])
})
