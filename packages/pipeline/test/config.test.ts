import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { registerEncoder } from '@vq/encoders'
import { PipelineConfig } from '@vq/pipeline'
import { registerQuantizer } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'

const image = { modality: 'image', encoderType: 'vit', vqMethod: 'rq_vae', inputDim: [64, 64, 3] } as const

describe('PipelineConfig', () => {
  it('has the defaults of the Python system', () => {
    const { values } = PipelineConfig.parse(image)
    expect(values).toMatchObject({ embeddingDim: 256, numEmbeddings: 1024, commitmentCost: 0.25 })
    expect(values).toMatchObject({ learningRate: 1e-4, batchSize: 32, granularity: 'item' })
  })

  it('reads the Python system’s JSON: snake_case, channels in front', () => {
    const config = PipelineConfig.parse({
      modality: 'image',
      encoder_type: 'vit',
      vq_method: 'rq_vae',
      input_dim: [3, 64, 64],
      embedding_dim: 128,
      num_embeddings: 512,
      encoder_config: { patch_size: 8, num_layers: 2, num_heads: 4, mlp_ratio: 4.0, dropout: 0.1 },
      vq_config: { num_quantizers: 3, hidden_dims: [128, 256], shared_codebook: false },
      learning_rate: 1e-3,
    })
    expect(config.values).toMatchObject({
      inputDim: [64, 64, 3],
      embeddingDim: 128,
      learningRate: 1e-3,
      encoderConfig: { patchSize: 8, numLayers: 2, numHeads: 4, mlpRatio: 4, dropout: 0.1 },
      vqConfig: { numQuantizers: 3, hiddenDims: [128, 256], sharedCodebook: false },
    })
    const video = PipelineConfig.parse({
      modality: 'video',
      encoder_type: 'cnn_3d',
      vq_method: 'rq_vae',
      input_dim: [3, 16, 32, 32],
    })
    expect(video.values).toMatchObject({ encoderType: 'cnn3d', inputDim: [16, 32, 32, 3] })
    const text = PipelineConfig.parse({
      modality: 'text',
      encoder_type: 'bert_like',
      vq_method: 'vq_vae',
      input_dim: 10_000,
      encoder_config: {
        d_model: 768,
        num_layers: 6,
        num_heads: 8,
        intermediate_size: 3072,
        max_position_embeddings: 512,
      },
    })
    expect(text.values).toMatchObject({
      encoderType: 'bert',
      tokenizer: { vocabSize: 10_000 },
      encoderConfig: { hiddenDim: 768, mlpDim: 3072, maxLength: 512 },
    })
  })

  it.each([
    [{ ...image, embedingDim: 3 }, /embedingDim: unknown key; did you mean 'embeddingDim'/],
    [
      { ...image, encoderConfig: { patchsize: 8 } },
      /encoderConfig\.patchsize: unknown key; did you mean 'patchSize'/,
    ],
    [
      { ...image, vqConfig: { numQuantisers: 8 } },
      /vqConfig\.numQuantisers: unknown key; did you mean 'numQuantizers'/,
    ],
    [{ ...image, training: { epoch: 8 } }, /training\.epoch: unknown key; did you mean 'epochs'/],
    [
      { ...image, tokenizer: { vocabsize: 8 } },
      /tokenizer\.vocabsize: unknown key; did you mean 'vocabSize'/,
    ],
    [{ ...image, encoderType: 'resnett' }, /encoderType: expected one of .*did you mean 'resnet'/],
    [{ ...image, vqMethod: 'rqvae' }, /vqMethod: expected one of .*did you mean 'rq_vae'/],
    [{ ...image, modality: 'imag' }, /modality: expected one of .*did you mean 'image'/],
    [{ ...image, inputDim: [3, 64, 64] }, /inputDim: .*channels last.*did you mean \[64, 64, 3\]/],
    [{ ...image, inputDim: [64, 64] }, /inputDim: expected \[H, W, C\]/],
    [{ ...image, numEmbeddings: 0 }, /numEmbeddings: /],
    [{ ...image, learningRate: -1 }, /learningRate: /],
    [{ ...image, encoderConfig: { dropout: 1.5 } }, /encoderConfig\.dropout: /],
    [{ ...image, encoderType: 'lstm' }, /encoderType: expected one of cnn/],
    [{ modality: 'vector', vqMethod: 'pq', granularity: 'position' }, /granularity: /],
    [{ modality: 'image_text', vqMethod: 'rvq' }, /image: expected the image encoder/],
    [{ ...image, training: { epochs: 1, steps: 2 } }, /training\.steps: expected epochs or steps/],
  ])('refuses %j', (input, message) => {
    expect(() => PipelineConfig.parse(input as never)).toThrow(message)
  })

  it('names every problem at once', () => {
    const wrong = { ...image, numEmbeddings: -1, batchSize: 0.5, granularity: 'items' }
    expect(() => PipelineConfig.parse(wrong as never)).toThrow(
      /numEmbeddings[\s\S]*granularity[\s\S]*batchSize/,
    )
  })

  it('takes registered names, and pretrained models by id or folder', () => {
    registerEncoder('config_test_encoder', () => {
      throw new Error('not made')
    })
    registerQuantizer('config_test_quantizer', () => {
      throw new Error('not made')
    })
    const own = { ...image, encoderType: 'config_test_encoder', vqMethod: 'config_test_quantizer' }
    expect(PipelineConfig.parse({ ...own, encoderConfig: { anything: 1 } }).values.encoderConfig).toEqual({
      anything: 1,
    })
    const { towers, objective } = PipelineConfig.parse({
      ...image,
      encoderType: 'google/vit-base-patch16-224',
    })
    expect([towers[0]?.pretrained, objective]).toEqual([true, 'embedding'])
  })

  it('is written and read back', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'vq-config-')), 'c.json')
    const config = PipelineConfig.parse({ ...image, vqConfig: { numQuantizers: 2 } })
    await config.save(file)
    expect((await PipelineConfig.load(file)).values).toEqual(config.values)
    await writeFile(file, '{"modality": ')
    await expect(PipelineConfig.load(file)).rejects.toThrow(/c\.json: expected a configuration in JSON/)
    await writeFile(file, JSON.stringify({ ...image, vqMethode: 1 }))
    await expect(PipelineConfig.load(file)).rejects.toThrow(/c\.json: .*\n?.*vqMethode: unknown key/)
    expect((await readFile(file, 'utf8')).length).toBeGreaterThan(0)
  })

  it('has a JSON Schema that names every option', () => {
    const schema = PipelineConfig.jsonSchema() as {
      properties: Record<string, unknown>
      additionalProperties: unknown
    }
    const { values } = PipelineConfig.parse(image)
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(Object.keys(values)))
    expect(schema.additionalProperties).toBe(false)
  })
})
