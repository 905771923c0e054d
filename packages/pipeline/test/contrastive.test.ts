import { Random, tf } from '@vq/core'
import { PipelineConfig, type PipelineInput, VQPipeline } from '@vq/pipeline'
import { RQKMeans } from '@vq/quantizers'
import { beforeAll, describe, expect, test } from 'vitest'

beforeAll(() => {
  expect(tf.getBackend()).toBe('vq-cpu')
})

const quiet = { progress: false } as const

describe('texts of two subjects, without labels', () => {
  // Each text has eight of the forty words of its subject, and eight of forty that both have.
  const random = new Random(11)
  const subjects = Int32Array.from({ length: 240 }, (_, i) => i % 2)
  const word = (kind: string): string => kind + Math.floor(random.uniform() * 40)
  const texts = Array.from(subjects, subject =>
    Array.from({ length: 16 }, (_, j) =>
      word(j % 2 === 0 ? 'both' : (['red', 'blue'][subject] as string)),
    ).join(' '),
  )
  const config: PipelineInput = {
    modality: 'text',
    encoderType: 'bert',
    objective: 'contrastive',
    vqMethod: 'rq_kmeans',
    embeddingDim: 16,
    numEmbeddings: 2,
    encoderConfig: { hiddenDim: 16, numLayers: 0, numHeads: 2, pooling: 'mean', dropout: 0 },
    vqConfig: { nStages: 1 },
    tokenizer: { type: 'word', vocabSize: 200, maxLength: 20 },
    learningRate: 0.02,
    batchSize: 120,
    training: { epochs: 20, heldOut: 0, temperature: 0.2, projectionDim: 0 },
  }

  test('a bag of tokens that learns by contrast puts each subject under a code of its own, the same for a seed', async () => {
    const codesOf = async (): Promise<Int32Array> => {
      const pipeline = await VQPipeline.create(config)
      await pipeline.fit(texts, quiet)
      const { codes } = await pipeline.encodeToSemanticIds(texts)
      pipeline.dispose()
      return codes
    }
    const codes = await codesOf()
    const agreeing = codes.reduce((n, code, i) => n + (code === subjects[i] ? 1 : 0), 0)
    expect(Math.max(agreeing, codes.length - agreeing) / codes.length).toBeGreaterThan(0.95)
    expect(await codesOf()).toEqual(codes)
  })

  test('an untrained one does not', async () => {
    const pipeline = await VQPipeline.create({ ...config, objective: 'embedding' })
    await pipeline.fit(texts, quiet)
    const { codes } = await pipeline.encodeToSemanticIds(texts)
    const agreeing = codes.reduce((n, code, i) => n + (code === subjects[i] ? 1 : 0), 0)
    expect(Math.max(agreeing, codes.length - agreeing) / codes.length).toBeLessThan(0.95)
  })
})

describe('k-means on a sample', () => {
  const [n, dim] = [500, 6]
  const values = new Random(2).fillNormal(new Float32Array(n * dim))
  const x = tf.tensor2d(values, [n, dim])
  const fitted = async (vqConfig: Record<string, unknown>): Promise<Float32Array> => {
    const pipeline = await VQPipeline.create({ modality: 'vector', inputDim: dim, vqMethod: 'rq_kmeans', numEmbeddings: 8, vqConfig: { nStages: 2, maxIter: 9, ...vqConfig }, training: { seed: 4 } }) // biome-ignore format: one line
    await pipeline.fit(x, quiet)
    return pipeline.getCodebook().dataSync<'float32'>()
  }

  test('learns from so many rows, those that the seed draws, in their order', async () => {
    const order = new Random(4).permutation(n).subarray(0, 64).sort()
    const rows = Float32Array.from({ length: 64 * dim }, (_, i) => values[(order[Math.floor(i / dim)] as number) * dim + (i % dim)] as number) // biome-ignore format: one line
    const kmeans = new RQKMeans({ nClusters: 8, nStages: 2, maxIter: 9, dim, randomState: 4 })
    await kmeans.fit(rows)
    const quantizer = kmeans.toQuantizer()
    expect(await fitted({ sample: 64 })).toEqual(quantizer.codebook().dataSync())
  })

  test('learns from all rows where they are no more', async () => {
    expect(await fitted({ sample: n })).toEqual(await fitted({}))
  })
})

test('a head of width 0 is none, and a negative one is refused', () => {
  const config = { modality: 'vector', inputDim: 4, vqMethod: 'pq', training: { projectionDim: 0 } } as const
  expect(PipelineConfig.parse(config).values.training.projectionDim).toBe(0)
  expect(() => PipelineConfig.parse({ ...config, training: { projectionDim: -1 } })).toThrow(/projectionDim/)
})
