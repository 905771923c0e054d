// Checkpoints that Python writes now, of sizes and options drawn at random.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf } from '@vq/core'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { expectEqualLayers } from './pretrained-fixture.js'

const python = process.env.VQ_PYTHON
const program = join(import.meta.dirname, '../../../test/oracle/encoders.py')
const folder = mkdtempSync(join(tmpdir(), 'vq-python-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const patch = fc.constantFrom(2, 3, 4, 5)
const heads = fc.integer({ min: 1, max: 3 })
const activation = fc.constantFrom(
  'gelu',
  'gelu_new',
  'quick_gelu',
  'relu',
  'silu',
  'gelu_pytorch_tanh',
  'tanh',
)

const transformer = fc
  .record({
    patch,
    grid: fc.integer({ min: 1, max: 4 }),
    heads,
    width: fc.integer({ min: 2, max: 5 }),
    layers: fc.integer({ min: 1, max: 3 }),
    hidden_act: activation,
    layer_norm_eps: fc.constantFrom(1e-12, 1e-6, 1e-3),
    qkv_bias: fc.boolean(),
    num_channels: fc.integer({ min: 1, max: 4 }),
    intermediate_size: fc.integer({ min: 1, max: 20 }),
    mlp_ratio: fc.integer({ min: 1, max: 4 }),
    use_swiglu_ffn: fc.boolean(),
    use_mask_token: fc.boolean(),
    layerscale_value: fc.constantFrom(0.5, 0.1, 1e-5),
    num_register_tokens: fc.integer({ min: 1, max: 5 }),
    projection_dim: fc.integer({ min: 1, max: 9 }),
    other: fc.tuple(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 0, max: 1 }),
    ),
    kind: fc.constantFrom(
      'vit',
      'vit-classifier',
      'dinov2',
      'dinov2-registers',
      'clip-vision',
      'clip-projection',
      'clip',
    ),
    format: fc.constantFrom('whole', 'bin', 'sharded'),
  })
  .map(({ patch, grid, heads, width, layers, other, kind, format, ...rest }) => {
    const shared = {
      ...{
        image_size: patch * grid,
        patch_size: patch,
        num_attention_heads: heads,
        num_hidden_layers: layers,
      },
      ...{ hidden_size: heads * width, hidden_act: rest.hidden_act, layer_norm_eps: rest.layer_norm_eps },
      num_channels: rest.num_channels,
    }
    const { qkv_bias, mlp_ratio, layerscale_value, use_swiglu_ffn, use_mask_token, num_register_tokens } =
      rest
    const dino = { ...shared, qkv_bias, mlp_ratio, layerscale_value, use_swiglu_ffn }
    const clip = { ...shared, intermediate_size: rest.intermediate_size, projection_dim: rest.projection_dim }
    const configs: Record<string, unknown> = {
      vit: { ...shared, qkv_bias, intermediate_size: rest.intermediate_size },
      dinov2: { ...dino, use_mask_token },
      'dinov2-registers': { ...dino, num_register_tokens },
      clip: { vision_config: clip, projection_dim: rest.projection_dim + 1, text_config: tinyText },
    }
    configs['vit-classifier'] = configs.vit
    configs['clip-vision'] = clip
    configs['clip-projection'] = clip
    const sizes = [
      [patch * grid, patch * grid],
      // The Python library does not tell a square image of as many patches from its own.
      [patch * other[0] + other[2], patch * other[1] + (kind === 'dinov2' ? other[2] : 0)],
    ]
    return { kind, format, config: configs[kind], channels: rest.num_channels, sizes }
  })

const tinyText = {
  ...{ hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 4, vocab_size: 9 },
  ...{ max_position_embeddings: 8, bos_token_id: 1, eos_token_id: 2 },
}

const resnet = fc
  .record({
    stages: fc.array(fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 4 })), {
      minLength: 1,
      maxLength: 4,
    }),
    embedding_size: fc.integer({ min: 1, max: 8 }),
    layer_type: fc.constantFrom('basic', 'bottleneck'),
    hidden_act: fc.constantFrom('relu', 'gelu', 'silu'),
    downsample_in_first_stage: fc.boolean(),
    downsample_in_bottleneck: fc.boolean(),
    num_channels: fc.integer({ min: 1, max: 4 }),
    size: fc.tuple(fc.integer({ min: 17, max: 48 }), fc.integer({ min: 17, max: 48 })),
    format: fc.constantFrom('whole', 'bin', 'sharded'),
  })
  .map(({ stages, size, format, ...config }) => ({
    ...{ kind: 'resnet', format, channels: config.num_channels, sizes: [size] },
    config: { ...config, depths: stages.map(([d]) => d), hidden_sizes: stages.map(([, w]) => 4 * w) },
  }))

test.skipIf(!python)(
  'checkpoints of any sizes and options give every layer as in Python (skipped unless VQ_PYTHON names one with transformers)',
  async () => {
    const seed = 20
    const cases = [
      ...fc.sample(transformer, { seed, numRuns: 36 }),
      ...fc.sample(resnet, { seed, numRuns: 12 }),
    ].map((c, i) => ({ ...c, name: String(i) }))
    const list = join(folder, 'cases.json')
    writeFileSync(list, JSON.stringify(cases))
    execFileSync(python!, [program, folder, list], { stdio: 'pipe' })
    for (const c of cases) {
      const compared = await expectEqualLayers(join(folder, c.name)).catch(error => {
        throw new Error(`${JSON.stringify(c)}: ${error.message}`, { cause: error })
      })
      expect(compared).toBeGreaterThanOrEqual(4)
    }
    expect(tf.getBackend()).toBe('vq-cpu')
  },
)
