import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Random, tf } from '@vq/core'
import { loadNpy, saveNpy } from '@vq/core/io'
import { readSemanticIdInfo, readSemanticIds, VQPipeline } from '@vq/pipeline'
import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { placeOf } from '../src/cli/decode.js'
import { ok, vq } from './command.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-commands-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const random = new Random(7)
const colours = { red: [220, 40, 40], green: [40, 200, 60], blue: [50, 60, 220] } as const
const words = {
  sea: 'wave ship harbour salt tide',
  sky: 'cloud bird wind star moon',
  food: 'bread soup salt apple cheese',
}

beforeAll(async () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  // Pictures of three colours in folders of their names, noisy, and two files that are none.
  for (const [name, rgb] of Object.entries(colours)) {
    mkdirSync(at('photos', name), { recursive: true })
    for (let i = 0; i < 14; i++) {
      const raw = Uint8Array.from({ length: 16 * 16 * 3 }, (_, j) =>
        Math.min(255, Math.max(0, (rgb[j % 3] as number) + 40 * random.normal())),
      )
      await sharp(raw, { raw: { width: 16, height: 16, channels: 3 } })
        .png()
        .toFile(at('photos', name, `${i}.png`))
    }
  }
  writeFileSync(at('photos', 'red', 'broken.jpg'), Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2, 3]))
  writeFileSync(at('photos', 'blue', 'empty.png'), '')
  const rows = Array.from({ length: 90 }, (_, i) => {
    const topic = Object.keys(words)[i % 3] as keyof typeof words
    const known = words[topic].split(' ')
    const text = Array.from({ length: 8 }, () => known[Math.floor(random.uniform() * known.length)]).join(' ')
    return `${i},${topic},"the ${text}, again"`
  })
  writeFileSync(at('news.csv'), `key,topic,title\n${rows.join('\n')}\n`)
  const values = random.fillNormal(new Float32Array(600 * 8))
  await saveNpy(at('vectors.npy'), { dtype: 'F32', shape: [600, 8], data: values })
  // Videos as folders of frames.
  for (let v = 0; v < 10; v++) {
    mkdirSync(at('videos', `clip${v}`), { recursive: true })
    for (let f = 0; f < 4; f++) {
      const raw = Uint8Array.from({ length: 8 * 8 * 3 }, () => (v % 2 === 0 ? 30 : 200) + f * 10)
      await sharp(raw, { raw: { width: 8, height: 8, channels: 3 } })
        .png()
        .toFile(at('videos', `clip${v}`, `${f}.png`))
    }
  }
})

const tiny = ['training.steps=20', 'numEmbeddings=8', 'batchSize=8']

describe('images', () => {
  const model = at('runs', 'photos')
  test('are trained, encoded, decoded and analysed; what is broken is named and left out', async () => {
    const shape = ['inputDim=[16,16,3]', 'embeddingDim=16', 'encoderConfig.hiddenDims=[8,16]']
    const trained = await vq('train', '--config', 'image_vit_rqvae', '--data', at('photos'), '--out', model, '--set', 'encoderType=cnn', 'encoderConfig={"hiddenDims":[8,16]}', 'vqConfig.numQuantizers=2', ...shape, ...tiny) // biome-ignore format: one line
    expect(trained.code).toBe(0)
    expect(trained.out).toMatch(/44 images[\s\S]*42 items/)
    expect(trained.err).toMatch(/skipped red\/broken\.jpg/)
    expect(trained.err).toMatch(/skipped blue\/empty\.png/)
    expect(JSON.parse(readFileSync(join(model, 'training.json'), 'utf8'))).toMatchObject({
      items: 42,
      codebookSizes: [8, 8],
      bitsPerItem: 6,
    })

    const ids = at('photos.parquet')
    const encoded = await ok('encode', '--model', model, '--data', at('photos'), '--out', ids, '--margins')
    expect(encoded).toMatchObject({ items: 42, skipped: 2 })
    const rows = await readSemanticIds(ids)
    expect(rows.map(r => r.id)).toContain('red/3.png')
    const pipeline = await VQPipeline.loadPipeline(model)
    const { metadata } = await readSemanticIdInfo(ids)
    expect(metadata).toMatchObject({ codebook_hash: pipeline.info.codebookHash, device: 'vq-cpu' })
    expect(metadata.instruction_set).not.toBe('none')
    expect(rows.every(r => (r.margin?.[0] ?? -1) >= 0)).toBe(true)

    const report = await ok(
      'analyze',
      '--model',
      model,
      '--ids',
      ids,
      '--data',
      at('photos'),
      '--out',
      at('photos.html'),
    )
    const figures = report.figures as { items: number; labels: { classes: string[] }; fidelity: object }
    expect(figures.items).toBe(42)
    expect([...figures.labels.classes].sort()).toEqual(['blue', 'green', 'red'])
    expect(figures.fidelity).toBeDefined()
    expect(readFileSync(at('photos.html'), 'utf8')).toContain('data:image/')

    expect(await ok('decode', '--model', model, '--ids', ids, '--out', at('back'))).toMatchObject({
      items: 42,
    })
    expect(await sharp(at('back', 'green', '5.png')).metadata()).toMatchObject({ width: 16, height: 16 })
    // The first level alone, as vectors.
    await ok('decode', '--model', model, '--ids', ids, '--out', at('coarse'), '--levels', '1', '--embeddings')
    const coarse = await loadNpy(at('coarse', 'embeddings.npy'))
    const one = await pipeline.decodeFromSemanticIds(
      tf.tensor2d(
        rows.map(r => [r.codes[0] as number]),
        undefined,
        'int32',
      ),
    )
    expect(Array.from(coarse.data as Float32Array)).toEqual(Array.from(one.embeddings.dataSync()))
    pipeline.dispose()
  })

  test('are refused by other codebooks, and --strict stops at the first broken one', async () => {
    const other = at('runs', 'other')
    await ok('train', '--config', 'image_cnn_kmeans', '--data', at('photos'), '--out', other, '--set', 'inputDim=[16,16,3]', 'encoderConfig.hiddenDims=[8]', 'vqConfig.nStages=2', ...tiny) // biome-ignore format: one line
    for (const command of [
      ['decode', '--model', other, '--ids', at('photos.parquet'), '--out', at('no')],
      ['analyze', '--model', other, '--ids', at('photos.parquet'), '--out', at('no.html')],
      [
        'encode',
        '--model',
        other,
        '--data',
        at('photos'),
        '--add-to',
        at('photos.parquet'),
        '--out',
        at('no.parquet'),
      ],
    ]) {
      const { code, err } = await vq(...command)
      expect({ code, named: /expected IDs of the codebooks/.test(err) }).toEqual({ code: 1, named: true })
    }
    const strict = await vq(
      'encode',
      '--model',
      model,
      '--data',
      at('photos'),
      '--out',
      at('s.parquet'),
      '--strict',
    )
    expect(strict.code).toBe(1)
    expect(strict.err).toMatch(/broken\.jpg|empty\.png/)
  })
})

describe('texts', () => {
  test('of a column go to codes per token and back to texts', async () => {
    const model = at('runs', 'news')
    const small = ['encoderConfig={"tokenDim":16,"hiddenDim":16,"numLayers":1}', 'embeddingDim=16', 'tokenizer.vocabSize=64', 'tokenizer.maxLength=12', 'decoderConfig={"hiddenDim":32,"numLayers":1,"numHeads":2}'] // biome-ignore format: one line
    const data = [
      '--data',
      at('news.csv'),
      '--column',
      'title',
      '--id-column',
      'key',
      '--label-column',
      'topic',
    ]
    await ok('train', '--config', 'text_lstm_rvq', ...data, '--out', model, '--set', 'granularity=position', 'vqConfig.numQuantizers=2', ...small, ...tiny) // biome-ignore format: one line
    const ids = at('news.jsonl')
    expect(await ok('encode', '--model', model, ...data, '--out', ids)).toMatchObject({
      items: 90,
      skipped: 0,
    })
    const rows = await readSemanticIds(ids)
    expect(rows[0]?.id).toBe('0')
    // Nine words, two marks and the end: 12 tokens of two codes.
    expect(rows.every(r => r.codes.length === 24)).toBe(true)
    const { figures } = (await ok('analyze', '--model', model, '--ids', ids, ...data, '--out', at('news.html'))) as { figures: { positions: number; labels: object } } // biome-ignore format: one line
    expect(figures.positions).toBe(12)
    await ok('decode', '--model', model, '--ids', ids, '--out', at('news-back'))
    const lines = readFileSync(at('news-back', 'texts.jsonl'), 'utf8').trim().split('\n')
    expect(lines).toHaveLength(90)
    expect(JSON.parse(lines[3] as string)).toMatchObject({ id: '3', text: expect.any(String) })
    const wrong = await vq(
      'encode',
      '--model',
      model,
      '--data',
      at('news.csv'),
      '--column',
      'titel',
      '--out',
      at('x.jsonl'),
    )
    expect(wrong.code).toBe(1)
    expect(wrong.err).toMatch(/title/)
  })
})

describe('videos', () => {
  test('of folders of frames', async () => {
    const model = at('runs', 'videos')
    await ok('train', '--config', 'video_3dcnn_rqvae', '--data', at('videos'), '--out', model, '--set', 'inputDim=[4,8,8,3]', 'encoderConfig.hiddenDims=[8,16]', 'embeddingDim=16', 'numEmbeddings=4', 'training.steps=5', 'batchSize=5') // biome-ignore format: one line
    const { items } = await ok('encode', '--model', model, '--data', at('videos'), '--out', at('v.vqids'))
    expect(items).toBe(10)
    await ok('decode', '--model', model, '--ids', at('v.vqids'), '--out', at('v-back'))
    expect(await sharp(at('v-back', 'clip3', '0002.png')).metadata()).toMatchObject({ width: 8 })
  })
})

describe('vectors', () => {
  const model = at('runs', 'vectors')
  test('get unique IDs that stay when items are added', async () => {
    await ok('train', '--config', 'vector_rqkmeans', '--data', at('vectors.npy'), '--out', model, '--set', 'numEmbeddings=4', 'vqConfig.nStages=2') // biome-ignore format: one line
    const first = await loadNpy(at('vectors.npy'))
    mkdirSync(at('parts'))
    const part = async (name: string, from: number, to: number): Promise<void> =>
      saveNpy(at('parts', `${name}.npy`), {
        dtype: 'F32',
        shape: [to - from, 8],
        data: (first.data as Float32Array).slice(from * 8, to * 8),
      })
    await part('a', 0, 300)
    await ok('encode', '--model', model, '--data', at('parts'), '--out', at('u1.parquet'), '--unique')
    await part('b', 300, 600)
    await ok(
      'encode',
      '--model',
      model,
      '--data',
      at('parts'),
      '--out',
      at('u2.parquet'),
      '--unique',
      '--add-to',
      at('u1.parquet'),
    )
    const [before, after] = [await readSemanticIds(at('u1.parquet')), await readSemanticIds(at('u2.parquet'))]
    expect(after.slice(0, 300)).toEqual(before)
    expect(after).toHaveLength(600)
    expect(new Set(after.map(r => r.codes.join())).size).toBe(600)
    const plain = await vq(
      'encode',
      '--model',
      model,
      '--data',
      at('parts'),
      '--out',
      at('u3.parquet'),
      '--add-to',
      at('u1.parquet'),
    )
    expect([plain.code, /Pass --unique/.test(plain.err)]).toEqual([1, true])
    // The level that tells them apart is none of the analysis or the vectors.
    const { figures } = (await ok('analyze', '--ids', at('u2.parquet'), '--out', at('u.html'))) as { figures: { items: number; levels: object[] } } // biome-ignore format: one line
    expect([figures.items, figures.levels.length]).toEqual([600, 2])
    await ok('decode', '--model', model, '--ids', at('u2.parquet'), '--out', at('u-back'))
    expect((await loadNpy(at('u-back', 'embeddings.npy'))).shape).toEqual([600, 8])
  })

  test('are compared over methods and sizes', async () => {
    const out = at('runs', 'compare')
    const all = ['compare', '--config', 'vector_rqkmeans', '--methods', 'rq_kmeans', 'pq', 'fsq', '--sizes', '4', '16', '--data', at('vectors.npy'), '--out', out, '--set', 'training.quantizerEpochs=2'] // biome-ignore format: one line
    const { runs } = (await ok(...all)) as {
      runs: { name: string; bits: number; metrics: Record<string, number> }[]
    }
    expect(runs.map(r => r.name)).toEqual(['rq_kmeans-4', 'rq_kmeans-16', 'pq-4', 'pq-16', 'fsq-4', 'fsq-16'])
    const error = (name: string): number => runs.find(r => r.name === name)?.metrics.error as number
    expect(error('rq_kmeans-16')).toBeLessThan(error('rq_kmeans-4'))
    expect(error('pq-16')).toBeLessThan(error('pq-4'))
    expect((await sharp(join(out, 'comparison.png')).metadata()).width).toBeGreaterThan(300)
    expect(readFileSync(join(out, 'comparison.md'), 'utf8')).toMatch(/\| rq_kmeans-16 \|/)
    expect(readFileSync(join(out, 'comparison.html'), 'utf8')).toContain('<svg')
    const again = (await ok(...all, '--resume')) as { runs: unknown }
    expect(again.runs).toEqual(runs)
    const wrong = await vq(...all.slice(0, 4), 'rq_kmean', ...all.slice(7), '--resume')
    expect([wrong.code, /did you mean 'rq_kmeans'/.test(wrong.err)]).toEqual([1, true])
  })
})

describe('a run that is killed', () => {
  const bin = resolve(import.meta.dirname, '..', 'bin', 'vq.js')
  // Starts the command, and kills it some time after something has grown; gives whether it ended by itself.
  const killed = (words: string[], grown: () => number, ms: number): Promise<boolean> =>
    new Promise((done, fail) => {
      const before = grown()
      const child = spawn(process.execPath, [bin, ...words], { stdio: ['ignore', 'ignore', 'pipe'] })
      let err = ''
      child.stderr.on('data', text => {
        err += text
      })
      const poll = setInterval(() => {
        if (grown() <= before) return
        clearInterval(poll)
        setTimeout(() => child.kill('SIGKILL'), ms)
      }, 5)
      child.on('exit', (code, signal) => {
        clearInterval(poll)
        if (signal === 'SIGKILL') done(false)
        else if (code === 0) done(true)
        else fail(new Error(err))
      })
    })
  const names = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
  const entries = (path: string): number => names(path).filter(name => name.endsWith('.vqids')).length

  test('encodes to the same file', { timeout: 120_000 }, async () => {
    const model = at('runs', 'kill-vectors')
    const data = at('many.npy')
    const values = random.fillNormal(new Float32Array(30_000 * 16))
    await saveNpy(data, { dtype: 'F32', shape: [30_000, 16], data: values })
    await ok('train', '--config', 'vector_rqkmeans', '--data', data, '--out', model, '--set', 'numEmbeddings=32', 'vqConfig={"nStages":2,"maxIter":3}') // biome-ignore format: one line
    const words = (out: string): string[] => [
      'encode',
      '--model',
      model,
      '--data',
      data,
      '--out',
      out,
      '--unique',
      '--margins',
      '--save-every',
      '1000',
    ]
    await ok(...words(at('whole.parquet')))
    const out = at('killed.parquet')
    let [ended, kills] = [false, 0]
    for (let i = 0; !ended && i < 4; i++) {
      ended = await killed(
        [...words(out), '--resume'],
        () => entries(`${out}.partial`),
        80 * random.uniform(),
      )
      if (!ended) kills++
    }
    if (!ended) await ok(...words(out), '--resume')
    expect(kills).toBeGreaterThan(0)
    expect(readFileSync(out).equals(readFileSync(at('whole.parquet')))).toBe(true)
  })

  test('trains to the same weights', { timeout: 120_000 }, async () => {
    const words = (out: string): string[] => ['train', '--config', 'image_cnn_kmeans', '--data', at('photos'), '--out', out, '--set', 'inputDim=[16,16,3]', 'encoderConfig.hiddenDims=[8,16]', 'training.steps=150', 'training.checkpointEvery=10', 'numEmbeddings=8', 'batchSize=8', 'vqConfig.nStages=2'] // biome-ignore format: one line
    const { codebookHash, encoderHash } = await ok(...words(at('runs', 'undisturbed')))
    const out = at('runs', 'killed')
    const resume = ['train', '--data', at('photos'), '--out', out, '--resume']
    // The newest checkpoints alone are kept: their names grow.
    const newest = (): number =>
      Math.max(0, ...names(join(out, 'training', 'checkpoints')).map(n => Number(/\d+/.exec(n)?.[0] ?? 0)))
    let [ended, kills] = [false, 0]
    for (let i = 0; !ended && i < 4; i++) {
      ended = await killed(i === 0 ? words(out) : resume, newest, 150 * random.uniform())
      if (!ended) kills++
    }
    if (!ended) await ok(...resume)
    expect(kills).toBeGreaterThan(0)
    const { info } = await VQPipeline.loadPipeline(out)
    expect({ codebookHash: info.codebookHash, encoderHash: info.encoderHash }).toEqual({
      codebookHash,
      encoderHash,
    })
  })
})

describe('the command line', () => {
  test('says what is wrong, with exit codes', async () => {
    for (const [words, code, message] of [
      [['train', '--data', at('photos'), '--out', at('q')], 1, /--config with a file, or a template/],
      [
        ['train', '--config', 'image_cnn_kmean', '--data', at('photos'), '--out', at('q')],
        1,
        /Did you mean 'image_cnn_kmeans'/,
      ],
      [['train', '--config', 'image_cnn_kmeans', '--out', at('q')], 2, /--data/],
      [['train', '--config', 'image_cnn_kmeans', '--data', at('nowhere'), '--out', at('q')], 1, /nowhere/],
      [
        [
          'train',
          '--config',
          'image_cnn_kmeans',
          '--data',
          at('photos'),
          '--out',
          at('q'),
          '--set',
          'batchsize=3',
        ],
        1,
        /did you mean 'batchSize'/,
      ],
      [
        ['train', '--config', 'image_cnn_kmeans', '--data', at('photos'), '--out', at('runs', 'photos')],
        1,
        /--resume to go on/,
      ],
      [['train', '--data', at('photos'), '--out', at('q'), '--resume'], 1, /config\.input\.json/],
      [
        ['encode', '--model', at('nowhere'), '--data', at('photos'), '--out', at('x.parquet')],
        1,
        /folder of a trained pipeline/,
      ],
      [
        ['encode', '--model', at('runs', 'photos'), '--data', at('photos'), '--out', at('x.txt')],
        1,
        /\.parquet, \.jsonl/,
      ],
      [
        [
          'decode',
          '--model',
          at('runs', 'photos'),
          '--ids',
          at('photos.parquet'),
          '--out',
          at('q'),
          '--levels',
          '9',
        ],
        1,
        /from 1 to 2/,
      ],
      [['templates', 'nothing'], 1, /Did you mean/],
      [['encod'], 2, /Did you mean encode/],
    ] as const) {
      const result = await vq(...words)
      expect({ words, code: result.code, said: message.test(result.err) }).toEqual({
        words,
        code,
        said: true,
      })
    }
    const json = await vq(
      'encode',
      '--model',
      at('nowhere'),
      '--data',
      at('photos'),
      '--out',
      at('x.parquet'),
      '--json',
    )
    expect(JSON.parse(json.out)).toMatchObject({ error: { name: 'VqFormatError' } })
  })

  test('has help with examples, templates that hold, and a schema', async () => {
    for (const name of ['train', 'encode', 'decode', 'analyze', 'compare']) {
      const { code, out } = await vq(name, '--help')
      expect(code).toBe(0)
      expect(out).toMatch(/Example/)
    }
    await vq('templates', '--out', at('templates'))
    const { PipelineConfig } = await import('@vq/pipeline')
    const { templates } = await import('../src/config/templates.js')
    for (const name of Object.keys(templates)) await PipelineConfig.load(at('templates', `${name}.json`))
    expect(JSON.parse(readFileSync(at('templates', 'pipeline.schema.json'), 'utf8'))).toHaveProperty(
      'properties.vqMethod',
    )
    expect((await vq('templates', 'vector_pq')).out).toContain('"pq"')
  })

  test('keeps decoded names in their folder', () => {
    expect([
      placeOf('../../etc/passwd'),
      placeOf('/a/b.png'),
      placeOf('..'),
      placeOf('a:b?.jpg'),
      placeOf('c\\d.mp4'),
    ]).toEqual([join('etc', 'passwd'), join('a', 'b'), 'item', 'a_b_', join('c', 'd')])
  })
})
