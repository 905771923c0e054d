import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf } from '@vq/core'
import { Linear } from '@vq/core/nn'
import { BaseEncoder, type EncoderOutput, registerEncoder } from '@vq/encoders'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { memorySource, type PipelineInput, VQPipeline } from '@vq/pipeline'
import { beforeAll, describe, expect, it } from 'vitest'

const encoders = {
  image: {
    cnn: { hiddenDims: [8, 16] },
    resnet: { depths: [1, 1], widths: [8, 16], block: 'basic' },
    vit: { patchSize: 4, hiddenDim: 16, numLayers: 1, numHeads: 2 },
  },
  text: {
    lstm: { tokenDim: 16, hiddenDim: 16, numLayers: 1 },
    transformer: { hiddenDim: 16, numLayers: 1, numHeads: 2, mlpDim: 32 },
    bert_like: { hiddenDim: 16, numLayers: 1, numHeads: 2, mlpDim: 32 },
  },
  video: {
    cnn_3d: { hiddenDims: [8, 16] },
    video_transformer: { patchSize: 4, hiddenDim: 16, numLayers: 1, temporalLayers: 1, numHeads: 2 },
  },
  vector: { none: {}, linear: {} },
} as const
const methods = {
  basic_vq: {},
  vq_vae: { hiddenDims: [16], codeDim: 8 },
  rq_vae: { hiddenDims: [16], codeDim: 8, numQuantizers: 2 },
  rq_kmeans: { nStages: 2, maxIter: 5 },
  fsq: {},
  lfq: {},
  rvq: { numQuantizers: 2 },
  pq: { parts: 2 },
} as const
const shapes = { image: [8, 8, 3], video: [4, 8, 8, 3], vector: [12], text: [] } as const
type Modality = keyof typeof encoders

const count = 24
const words = 'the sea was calm and night long sun red blue fish bird over under tree'.split(' ')
const texts = Array.from({ length: count }, (_, i) =>
  Array.from({ length: 6 }, (_, j) => words[(i * 7 + j * 5) % words.length]).join(' '),
)

function itemsOf(modality: Modality): tf.Tensor | string[] {
  if (modality === 'text') return texts
  const shape = [count, ...shapes[modality]]
  const size = shape.reduce((a, b) => a * b, 1)
  return tf.tensor(new Random(1).fillUniform(new Float32Array(size)), shape)
}

function configOf(
  modality: Modality,
  encoderType: string,
  vqMethod: keyof typeof methods,
  more: object = {},
): PipelineInput {
  return {
    modality,
    encoderType,
    vqMethod,
    ...(modality !== 'text' && { inputDim: [...shapes[modality]] }),
    encoderConfig: { ...(encoders[modality] as Record<string, object>)[encoderType] },
    vqConfig: { ...methods[vqMethod] },
    embeddingDim: 16,
    numEmbeddings: 8,
    batchSize: 8,
    tokenizer: { type: 'word', vocabSize: 64, maxLength: 8 },
    decoderConfig: {
      hiddenDim: 16,
      numLayers: 1,
      numHeads: 2,
      mlpDim: 32,
      ...(modality !== 'text' && { hiddenDims: [8, 8] }),
    },
    training: { steps: 2, quantizerEpochs: 1 },
    ...more,
  }
}

const quiet = { progress: false } as const

const all = (Object.keys(encoders) as Modality[]).flatMap(modality =>
  Object.keys(encoders[modality]).flatMap(encoderType =>
    (Object.keys(methods) as (keyof typeof methods)[]).map(
      method => [modality, encoderType, method] as const,
    ),
  ),
)

beforeAll(() => {
  expect(tf.getBackend()).toBe('vq-cpu')
})

describe.each(all)('%s %s %s', (modality, encoderType, method) => {
  const ways = (['embedding', 'reconstruction', 'contrastive'] as const).flatMap(objective =>
    (['item', 'position'] as const).map(granularity => ({ objective, granularity })),
  )
  const possible = ways.filter(
    ({ objective, granularity }) =>
      (modality !== 'vector' || (granularity === 'item' && objective !== 'reconstruction')) &&
      (objective !== 'contrastive' || granularity === 'item'),
  )

  it.each(possible)('$objective, codes per $granularity', async way => {
    const before = tf.memory().numTensors
    const pipeline = await VQPipeline.create(configOf(modality, encoderType, method, way))
    const items = itemsOf(modality)
    await pipeline.fit(items, quiet)
    const ids = await pipeline.encodeToSemanticIds(items)
    const sizes = pipeline.info.codebookSizes
    expect(ids.shape.at(-1)).toBe(sizes.length)
    expect(ids.shape[0]).toBe(count)
    expect(ids.codes).toHaveLength(ids.shape.reduce((a, b) => a * b, 1))
    for (const [i, code] of ids.codes.entries()) {
      // Only texts have positions that are left out.
      const least = modality === 'text' && way.granularity === 'position' ? -1 : 0
      expect(code).toBeGreaterThanOrEqual(least)
      expect(code).toBeLessThan(sizes[i % sizes.length] as number)
    }
    const back = await pipeline.decodeFromSemanticIds(ids)
    expect(back.embeddings.shape).toEqual([...ids.shape.slice(0, -1), pipeline.dim])
    if (way.objective === 'reconstruction') {
      if (modality === 'text') expect(back.texts).toHaveLength(count)
      else expect(back.reconstructed?.shape).toEqual([count, ...shapes[modality]])
    }
    tf.dispose([back.embeddings, ...(back.reconstructed === undefined ? [] : [back.reconstructed])])
    pipeline.dispose()
    if (!Array.isArray(items)) tf.dispose(items)
    expect(tf.memory().numTensors).toBe(before)
  })
})

describe('VQPipeline', () => {
  it('gives the same item the same codes whatever is encoded beside it', async () => {
    for (const [modality, type] of [
      ['image', 'vit'],
      ['text', 'transformer'],
    ] as const) {
      const pipeline = await VQPipeline.create(configOf(modality, type, 'rvq'))
      const items = itemsOf(modality)
      await pipeline.fit(items, quiet)
      const { codes, shape } = await pipeline.encodeToSemanticIds(items)
      const levels = shape[1] as number
      for (const [first, n] of [
        [0, 1],
        [3, 5],
        [7, 17],
      ] as const) {
        const part = Array.isArray(items)
          ? items.slice(first, first + n)
          : tf.slice(items as tf.Tensor, [first], [n])
        const alone = await pipeline.encodeToSemanticIds(part)
        expect(Array.from(alone.codes)).toEqual(Array.from(codes.slice(first * levels, (first + n) * levels)))
      }
      pipeline.dispose()
    }
  })

  it('is what it was after it was saved and loaded, and refuses what was changed', async () => {
    const folder = join(await mkdtemp(join(tmpdir(), 'vq-pipeline-')), 'artifact')
    for (const [modality, type, method] of [
      ['image', 'cnn', 'rq_vae'],
      ['text', 'bert_like', 'basic_vq'],
      ['vector', 'none', 'rq_kmeans'],
    ] as const) {
      const pipeline = await VQPipeline.create(configOf(modality, type, method))
      const items = itemsOf(modality)
      await pipeline.fit(items, quiet)
      const ids = await pipeline.encodeToSemanticIds(items)
      await pipeline.savePipeline(folder)
      const again = await VQPipeline.loadPipeline(folder)
      expect((await again.encodeToSemanticIds(items)).codes).toEqual(ids.codes)
      expect(again.info).toEqual(pipeline.info)
      expect(() => again.expectSameCodebook(pipeline.idMetadata(), 'ids.parquet')).not.toThrow()
      expect(() => again.expectSameCodebook({ codebook_hash: 'ab' }, 'ids.parquet')).toThrow(
        /ids\.parquet.*codebooks/,
      )
      again.dispose()
      pipeline.dispose()
    }
    const bytes = await readFile(join(folder, 'model.safetensors'))
    bytes[bytes.length - 5]! ^= 64
    await writeFile(join(folder, 'model.safetensors'), bytes)
    await expect(VQPipeline.loadPipeline(folder)).rejects.toThrow(/expected codebooks with the hash|finite/)
    await expect(VQPipeline.loadPipeline('nowhere')).rejects.toThrow(
      /expected the folder of a trained pipeline/,
    )
  })

  it('gives the same bits for the same seed', async () => {
    const run = async (): Promise<[string, string]> => {
      const pipeline = await VQPipeline.create(configOf('image', 'cnn', 'rvq'))
      await pipeline.fit(itemsOf('image'), quiet)
      const { encoderHash, codebookHash } = pipeline.info
      pipeline.dispose()
      return [encoderHash, codebookHash]
    }
    expect(await run()).toEqual(await run())
  })

  it('measures margins: the distance to the second code over that to the first, less 1', async () => {
    const pipeline = await VQPipeline.create({ ...configOf('vector', 'none', 'basic_vq'), numEmbeddings: 4 })
    const items = itemsOf('vector') as tf.Tensor
    await pipeline.fit(items, quiet)
    const { margins = new Float32Array(0), codes } = await pipeline.encodeToSemanticIds(items, {
      margins: true,
    })
    const [book, rows] = [pipeline.getCodebook().arraySync() as number[][], items.arraySync() as number[][]]
    // The codes are of standardized vectors: the embeddings of the codes are their places.
    const places = (
      await pipeline.decodeFromSemanticIds({ codes: Int32Array.from(book.keys()), shape: [4, 1] })
    ).embeddings
    const centres = places.arraySync() as number[][]
    for (const [i, row] of rows.entries()) {
      const distances = centres.map(
        (c, k) => [Math.hypot(...c.map((v, d) => v - (row[d] as number))), k] as const,
      )
      const [first, second] = distances.sort((a, b) => a[0] - b[0]) as [
        readonly [number, number],
        readonly [number, number],
      ]
      expect(codes[i]).toBe(first[1])
      // What lies at its code has no digits of its distance left.
      if (first[0] > 1e-3) expect(margins[i]).toBeCloseTo(second[0] / first[0] - 1, 3)
      else expect(margins[i]).toBeGreaterThan(100)
    }
  })

  it('matches images and texts with one codebook', async () => {
    const colours = ['red', 'green', 'blue']
    const captions = Array.from({ length: 60 }, (_, i) => `a ${colours[i % 3]} thing`)
    const images = tf.tensor(
      Float32Array.from({ length: 60 * 8 * 8 * 3 }, (_, i) => (i % 3 === Math.floor(i / 192) % 3 ? 1 : 0.1)),
      [60, 8, 8, 3],
    )
    const pipeline = await VQPipeline.create({
      modality: 'image_text',
      vqMethod: 'rvq',
      vqConfig: { numQuantizers: 2 },
      image: { encoderType: 'cnn', inputDim: [8, 8, 3], encoderConfig: { hiddenDims: [8, 16] } },
      text: {
        encoderType: 'transformer',
        encoderConfig: { hiddenDim: 16, numLayers: 1, numHeads: 2, mlpDim: 32 },
        tokenizer: { type: 'word', vocabSize: 32, maxLength: 8 },
      },
      embeddingDim: 16,
      numEmbeddings: 8,
      learningRate: 3e-3,
      batchSize: 12,
      training: { steps: 150, heldOut: 0, flip: false, colorJitter: 0, grayscale: 0 },
    })
    const source = memorySource(images, { modality: 'image', captions })
    await pipeline.fit(source, quiet)
    const [fromImages, fromTexts] = await Promise.all([
      pipeline.encodeToSemanticIds(images),
      pipeline.encodeToSemanticIds(
        colours.map(c => `a ${c} thing`),
        { modality: 'text' },
      ),
    ])
    // Levels behind the first name what little is left of a pair's difference.
    const first = (codes: Int32Array, i: number): number => codes[2 * i] as number
    const ofImages = [0, 1, 2].map(i => first(fromImages.codes, i))
    expect(new Set(ofImages).size).toBe(3)
    expect([0, 1, 2].map(i => first(fromTexts.codes, i))).toEqual(ofImages)
  })

  it('takes encoders and inputs of one’s own, and says what it cannot do', async () => {
    class Colour extends BaseEncoder {
      readonly inputShape = [null, null, 3]
      readonly embeddingDim = 6
      readonly linear = this.addModule('linear', new Linear({ inFeatures: 3, outFeatures: 6 }))
      protected encode(x: tf.Tensor): EncoderOutput {
        return { embedding: this.linear.forward(tf.mean(x, [1, 2])) as tf.Tensor2D }
      }
    }
    registerEncoder('pipeline_test_colour', () => new Colour())
    const input = {
      ...configOf('image', 'cnn', 'rvq'),
      encoderType: 'pipeline_test_colour',
      encoderConfig: {},
    }
    const pipeline = await VQPipeline.create({ ...input, objective: 'contrastive' })
    const items = itemsOf('image') as tf.Tensor
    await expect(pipeline.encodeToSemanticIds(items)).rejects.toThrow(/expected a pipeline that was fitted/)
    await pipeline.fit(items, quiet)
    expect((await pipeline.encodeToSemanticIds(items)).shape).toEqual([count, 2])
    await expect(pipeline.encodeToSemanticIds(tf.zeros([2, 9, 8, 3]))).rejects.toThrow(
      /a tensor of images \[N, 8, 8, 3\]/,
    )
    await expect(pipeline.fit(['text'], quiet)).rejects.toThrow(/memorySource/)
    pipeline.dispose()
    await expect(VQPipeline.create({ ...input, granularity: 'position', objective: 'embedding' })).rejects.toThrow(/a vector per position/) // biome-ignore format: one line
    await expect(VQPipeline.create({ modality: 'vector', vqMethod: 'pq' })).rejects.toThrow(/inputDim/)
  })

  it('tells how codes are used, of a source, of items and of a loader alike', async () => {
    const pipeline = await VQPipeline.create(configOf('image', 'cnn', 'rvq'))
    const items = itemsOf('image') as tf.Tensor
    await pipeline.fit(items, quiet)
    const { codes } = await pipeline.encodeToSemanticIds(items)
    const usage = await pipeline.analyzeSemanticUsage(items)
    const level = (l: number): number[] => Array.from(codes).filter((_, i) => i % 2 === l)
    expect(usage.uniqueTokens).toBe(new Set(level(0)).size + new Set(level(1)).size)
    const shares = [...new Set(level(0))].map(c => level(0).filter(x => x === c).length / count)
    expect(usage.levels[0]?.entropy).toBeCloseTo(-shares.reduce((sum, p) => sum + p * Math.log2(p), 0), 10)
    const whole = new Set(Array.from({ length: count }, (_, i) => codes.slice(2 * i, 2 * i + 2).join()))
    expect(usage.collisions).toBe(count - whole.size)
    const values = items.dataSync() as Float32Array
    const loader = new DataLoader(new ArrayDataset(values, [8, 8, 3]), { batchSize: 7, shuffle: false })
    expect(await pipeline.analyzeSemanticUsage(loader)).toEqual(usage)
    expect(await pipeline.analyzeSemanticUsage(memorySource(items, { modality: 'image' }))).toEqual(usage)
    pipeline.dispose()
  })

  it('stops when it is told to', async () => {
    const pipeline = await VQPipeline.create(configOf('image', 'cnn', 'rvq', { training: { steps: 10_000 } }))
    const fit = pipeline.fit(itemsOf('image'), { ...quiet, signal: AbortSignal.timeout(50) })
    await expect(fit).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    pipeline.dispose()
  })
})
