// What a user meets sooner or later: broken halves of pairs, tiny data, wrong paths, models of one file.
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf } from '@vq/core'
import { saveNpy } from '@vq/core/io'
import { crossModalRecall, PipelineConfig, readSemanticIds, VQPipeline, writeSemanticIds } from '@vq/pipeline'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dataWords } from '../src/cli/data-options.js'
import { freePlace } from '../src/cli/decode.js'
import { ok, vq } from './command.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-hard-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const random = new Random(3)
const oracle = join(import.meta.dirname, '../../../test/oracle')

const vectors = (file: string, values: Float32Array, dim: number): Promise<void> =>
  saveNpy(at(file), { dtype: 'F32', shape: [values.length / dim, dim], data: values })

beforeAll(() => {
  expect(tf.getBackend()).toBe('vq-cpu')
})

describe('pictures with captions', () => {
  const model = at('pairs')
  const data = ['--data', at('pictures'), '--captions', at('captions.csv')]
  const colours = { red: [230, 20, 20], green: [20, 220, 20], blue: [20, 20, 240] } as const
  beforeAll(async () => {
    mkdirSync(at('pictures'))
    const lines = ['file,caption']
    for (let i = 0; i < 60; i++) {
      const [name, rgb] = Object.entries(colours)[i % 3] as [string, readonly number[]]
      const raw = Uint8Array.from({ length: 192 }, (_, j) =>
        Math.max(0, Math.min(255, (rgb[j % 3] as number) + 10 * random.normal())),
      )
      await sharp(raw, { raw: { width: 8, height: 8, channels: 3 } })
        .png()
        .toFile(at('pictures', `${i}.png`))
      lines.push(`${i}.png,all of it is ${name}`)
    }
    writeFileSync(at('captions.csv'), `${lines.join('\n')}\n`)
  })

  test('training measures the recall of held-out pairs', async () => {
    const set = ['image.inputDim=[8,8,3]', 'image.encoderConfig.hiddenDims=[8]', 'text.encoderConfig={"hiddenDim":16,"numLayers":1,"numHeads":2,"mlpDim":16}', 'embeddingDim=16', 'numEmbeddings=4', 'vqConfig.numQuantizers=2', 'training.steps=80', 'training.colorJitter=0', 'training.grayscale=0', 'learningRate=0.01', 'batchSize=16'] // biome-ignore format: one line
    const { recall } = (await ok('train', '--config', 'image_text_contrastive', ...data, '--out', model, '--set', ...set)) as { recall: { pairs: number; embeddings: { k: number; aToB: number; bToA: number; chance: number }[] } } // biome-ignore format: one line
    expect(recall.pairs).toBe(6)
    const [first, fifth] = recall.embeddings
    // Three captions among six pairs: whoever knows the colours finds one of those alike, and chance 1/6.
    expect(first?.chance).toBeCloseTo(1 / 6)
    expect(first?.aToB).toBeGreaterThan(1 / 3 - 1e-6)
    expect(fifth?.bToA).toBeGreaterThan(0.9)
  })

  test('pairs are matched by id: what one half lacks moves nothing', async () => {
    writeFileSync(at('pictures', '7.png'), 'no picture')
    const [pictures, texts] = [at('pictures.jsonl'), at('texts.jsonl')]
    await ok('encode', '--model', model, ...data, '--out', pictures)
    await ok('encode', '--model', model, ...data, '--modality', 'text', '--out', texts)
    const [a, b] = [await readSemanticIds(pictures), await readSemanticIds(texts)]
    expect([a.length, b.length]).toEqual([59, 60])
    const { recall } = (await ok('analyze', '--model', model, '--ids', pictures, '--pair', texts, '--out', at('pairs.html'))) as { recall: object } // biome-ignore format: one line
    const table = (rows: typeof a): Parameters<typeof crossModalRecall>[0] => ({
      ids: rows.map(r => r.id),
      codes: Int32Array.from(rows.flatMap(r => Array.from(r.codes))),
      positions: 1,
      levels: 2,
      codebookSizes: [4, 4],
    })
    const partner = new Map(b.map(row => [row.id, row]))
    const matched = a.map(({ id }) => partner.get(id) as (typeof b)[number])
    expect(recall).toEqual(crossModalRecall(table(a), table(matched) as never))
    // The captions' IDs are analysed with the captions.
    const { figures } = (await ok('analyze', '--model', model, '--ids', texts, ...data, '--out', at('texts.html'))) as { figures: { fidelity: { explained: number } } } // biome-ignore format: one line
    expect(figures.fidelity.explained).toBeGreaterThan(0.5)
    const strangers = at('strangers.jsonl')
    const { codebook_hash } = (JSON.parse(readFileSync(texts, 'utf8').split('\n')[0] as string) as { metadata: Record<string, string> }).metadata // biome-ignore format: one line
    await writeSemanticIds(strangers, b.map((row, i) => ({ id: `x${i}`, codes: row.codes })), { shape: [2], codebookSizes: [4, 4], metadata: { codebook_hash: codebook_hash as string, codebook_sizes: '4,4' } }) // biome-ignore format: one line
    const refused = await vq('analyze', '--ids', pictures, '--pair', strangers, '--out', at('no.html'))
    expect([refused.code, /a pair has one id/.test(refused.err)]).toEqual([1, true])
  })

  test('texts without pictures are encoded as their captions are', async () => {
    writeFileSync(at('questions.txt'), 'all of it is red\nall of it is blue\n')
    await ok('encode', '--model', model, '--data', at('questions.txt'), '--modality', 'text', '--out', at('q.jsonl')) // biome-ignore format: one line
    const [asked, captions] = [await readSemanticIds(at('q.jsonl')), await readSemanticIds(at('texts.jsonl'))]
    const codesOf = (id: string): unknown => captions.find(row => row.id === id)?.codes
    expect(asked.map(r => r.codes)).toEqual([codesOf('0.png'), codesOf('2.png')])
  })
})

describe('little data', () => {
  test.each(['rq_kmeans', 'rvq', 'pq'])('%s of fewer vectors than codes meets each of them', async method => {
    const values = Float32Array.from([0, 0, 0, 9, 5, -3])
    await vectors('three.npy', values, 2)
    const model = at(`three-${method}`)
    await ok('train', '--config', 'vector_pq', '--data', at('three.npy'), '--out', model, '--set', `vqMethod=${method}`, 'numEmbeddings=8') // biome-ignore format: one line
    const pipeline = await VQPipeline.loadPipeline(model)
    const ids = await pipeline.encodeToSemanticIds(tf.tensor2d(values, [3, 2]))
    const { embeddings } = await pipeline.decodeFromSemanticIds(ids)
    for (const [i, value] of embeddings.dataSync().entries())
      expect(value).toBeCloseTo(values[i] as number, 2)
    pipeline.dispose()
  })

  test('vectors that are not finite are counted as left out', async () => {
    const values = random.fillNormal(new Float32Array(120))
    values[9] = Number.NaN
    values[50] = Number.POSITIVE_INFINITY
    await vectors('nan.npy', values, 4)
    const figures = await ok('train', '--config', 'vector_rqkmeans', '--data', at('nan.npy'), '--out', at('nan'), '--set', 'numEmbeddings=4') // biome-ignore format: one line
    expect(figures).toMatchObject({ items: 28, skipped: 2 })
    // An encoder is trained without them too.
    const trained = await ok('train', '--config', 'vector_rqkmeans', '--data', at('nan.npy'), '--out', at('nan2'), '--set', 'encoderType="linear"', 'embeddingDim=4', 'objective="contrastive"', 'training.steps=3', 'numEmbeddings=4') // biome-ignore format: one line
    expect(trained).toMatchObject({ items: 28, skipped: 2 })
  })
})

describe('a folder that is there already', () => {
  test('keeps its model where the new data is not found, and does not mind a start that failed', async () => {
    await vectors('some.npy', random.fillNormal(new Float32Array(200)), 4)
    const train = (data: string, ...more: string[]): string[] => ['train', '--config', 'vector_rqkmeans', '--data', at(data), '--out', at('kept'), '--set', 'numEmbeddings=4', ...more] // biome-ignore format: one line
    await ok(...train('some.npy'))
    const before = readFileSync(at('kept', 'model.safetensors'))
    expect((await vq(...train('nowhere.npy'), '--overwrite')).code).toBe(1)
    expect(readFileSync(at('kept', 'model.safetensors')).equals(before)).toBe(true)
    expect((await vq(...train('some.npy'))).err).toMatch(/--overwrite to throw it away/)
    await ok(...train('some.npy', 'training.seed=5'), '--overwrite')
    await ok(...train('some.npy', 'training.seed=5'), '--resume')
    const other = await vq(...train('some.npy', 'training.seed=6'), '--resume')
    expect([other.code, /training\.seed 6 instead of 5/.test(other.err)]).toEqual([1, true])
    mkdirSync(at('failed'))
    writeFileSync(at('failed', 'config.input.json'), '{}')
    await ok('train', '--config', 'vector_rqkmeans', '--data', at('some.npy'), '--out', at('failed'), '--set', 'numEmbeddings=4') // biome-ignore format: one line
  })

  test('IDs of other data are no analysis', async () => {
    await ok('encode', '--model', at('kept'), '--data', at('some.npy'), '--out', at('some.jsonl'))
    writeFileSync(at('other.jsonl'), '{"name":"z","v":[1,2,3,4]}\n')
    const { code, err } = await vq('analyze', '--model', at('kept'), '--ids', at('some.jsonl'), '--data', at('other.jsonl'), '--column', 'v', '--id-column', 'name', '--out', at('no.html')) // biome-ignore format: one line
    expect([code, /none of them in/.test(err)]).toEqual([1, true])
  })
})

describe('pretrained encoders', () => {
  test('of one file are kept in the artifact, which loads from wherever it lies', async () => {
    copyFileSync(join(oracle, 'encoders/torchvision-resnet18/model.pth'), at('resnet18.pth'))
    const pipeline = await VQPipeline.create({ modality: 'image', encoderType: at('resnet18.pth'), inputDim: [32, 32, 3], vqMethod: 'rq_kmeans', numEmbeddings: 4, vqConfig: { nStages: 2 } }) // biome-ignore format: one line
    const images = tf.tensor4d(
      Float32Array.from({ length: 6 * 32 * 32 * 3 }, () => random.uniform()),
      [6, 32, 32, 3],
    )
    await pipeline.fit(images, { progress: false })
    const { codes } = await pipeline.encodeToSemanticIds(images)
    await pipeline.savePipeline(at('own', 'first'))
    rmSync(at('resnet18.pth'))
    cpSync(at('own', 'first'), at('moved'), { recursive: true })
    rmSync(at('own'), { recursive: true })
    const here = process.cwd()
    process.chdir(at('moved'))
    try {
      const again = await VQPipeline.loadPipeline('.')
      expect((await again.encodeToSemanticIds(images)).codes).toEqual(codes)
      // Saved where it was loaded from, and elsewhere.
      await again.savePipeline('.')
      await again.savePipeline(at('third'))
      again.dispose()
    } finally {
      process.chdir(here)
    }
    const third = await VQPipeline.loadPipeline(at('third'))
    expect((await third.encodeToSemanticIds(images)).codes).toEqual(codes)
    third.dispose()
    pipeline.dispose()
  })

  test.each(['videomae', 'timesformer'])('%s says how many frames it sees', async name => {
    cpSync(join(oracle, 'text-video', name), at(name), { recursive: true })
    const size = { height: 8, width: 8 }
    writeFileSync(at(name, 'preprocessor_config.json'), JSON.stringify({ do_resize: true, size, do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] })) // biome-ignore format: one line
    const pipeline = await VQPipeline.create({ modality: 'video', encoderType: at(name), vqMethod: 'rq_kmeans' }) // biome-ignore format: one line
    expect(pipeline.itemShape).toEqual([4, 8, 8, 3])
    pipeline.dispose()
  })
})

describe('codes per token', () => {
  test('are learned after an encoder was trained by contrast', async () => {
    const texts = Array.from(
      { length: 30 },
      (_, i) => `the ${['cat', 'dog', 'sun'][i % 3]} is ${['here', 'there'][i % 2]}`,
    )
    const pipeline = await VQPipeline.create({ modality: 'text', encoderType: 'lstm', vqMethod: 'rvq', objective: 'contrastive', granularity: 'position', embeddingDim: 8, numEmbeddings: 8, encoderConfig: { tokenDim: 8, hiddenDim: 8, numLayers: 1 }, vqConfig: { numQuantizers: 2 }, tokenizer: { type: 'word', vocabSize: 30, maxLength: 8 }, training: { steps: 5, quantizerEpochs: 5 } }) // biome-ignore format: one line
    await pipeline.fit(texts, { progress: false })
    const ids = await pipeline.encodeToSemanticIds(texts)
    const [embedded, { embeddings }] = [
      await pipeline.embed(texts),
      await pipeline.decodeFromSemanticIds(ids),
    ]
    const known = Array.from(ids.codes).filter((_, i) => i % 2 === 0)
    const [x, y] = [embedded.dataSync(), embeddings.dataSync()]
    let [error, size] = [0, 0]
    for (let i = 0; i < x.length; i++)
      if ((known[Math.floor(i / pipeline.dim)] as number) >= 0) {
        error += ((x[i] as number) - (y[i] as number)) ** 2
        size += (x[i] as number) ** 2
      }
    // Codes of whole texts would miss those of their tokens.
    expect(error / size).toBeLessThan(0.1)
    pipeline.dispose()
  })
})

test.each(['__proto__', 'constructor', 'toString'])('%s is no encoder and no method', name => {
  expect(() =>
    PipelineConfig.parse({ modality: 'image', encoderType: name, vqMethod: name, inputDim: [8, 8, 3] }),
  ).toThrow(/encoderType: expected one of cnn[\s\S]*vqMethod: expected one of basic_vq/)
})

test('pictures of one name with two endings are two files', () => {
  const taken = new Set<string>()
  expect(['cat', 'dog', 'cat', 'cat'].map(place => freePlace(place, taken))).toEqual([
    'cat',
    'dog',
    'cat~2',
    'cat~3',
  ])
})

test('what to do next repeats how the data is read', () => {
  expect(dataWords({ data: ['a b.tsv'], column: ['0'], header: false, strict: true })).toBe(
    "--data 'a b.tsv' --column 0 --no-header --strict",
  )
})
