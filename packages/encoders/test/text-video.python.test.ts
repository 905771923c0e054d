// Checkpoints that Python writes now, of other sizes and options than the committed ones.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compared } from './text-video-fixture.js'

const python = process.env.VQ_PYTHON
const program = join(import.meta.dirname, '../../../test/oracle/text-video-encoders.py')
const folder = mkdtempSync(join(tmpdir(), 'vq-text-video-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Each with the number of tensors that are compared.
const cases: (Record<string, unknown> & { name: string; tensors: number })[] = [
  {
    name: 'b1',
    kind: 'bert',
    config: {
      vocab_size: 100,
      hidden_size: 48,
      num_hidden_layers: 3,
      num_attention_heads: 6,
      intermediate_size: 64,
      max_position_embeddings: 40,
      hidden_act: 'silu',
      type_vocab_size: 4,
    },
    types: true,
    shapes: [[4, 33, 33, 20, 1, 7]],
    tensors: 6,
  },
  {
    name: 'b2',
    kind: 'bert',
    config: {
      vocab_size: 100,
      hidden_size: 48,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      intermediate_size: 64,
      max_position_embeddings: 40,
      hidden_act: 'gelu_pytorch_tanh',
      pad_token_id: 5,
    },
    shapes: [[2, 10, 10, 3]],
    tensors: 4,
  },
  {
    name: 'r1',
    kind: 'roberta',
    config: {
      vocab_size: 90,
      hidden_size: 32,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 64,
      max_position_embeddings: 34,
      type_vocab_size: 2,
      pad_token_id: 3,
      hidden_act: 'quick_gelu',
    },
    pad: 3,
    shapes: [[3, 30, 30, 11, 2]],
    tensors: 5,
  },
  {
    name: 'd1',
    kind: 'distilbert',
    config: {
      vocab_size: 90,
      dim: 40,
      n_layers: 3,
      n_heads: 5,
      hidden_dim: 30,
      max_position_embeddings: 30,
      sinusoidal_pos_embds: true,
      activation: 'gelu_new',
    },
    shapes: [[3, 30, 30, 11, 2]],
    tensors: 6,
  },
  {
    name: 'm1',
    kind: 'roberta',
    config: {
      vocab_size: 90,
      hidden_size: 32,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 64,
      max_position_embeddings: 34,
      pad_token_id: 1,
      type_vocab_size: 1,
    },
    pad: 1,
    pooling: 'mean',
    normalize: true,
    shapes: [[3, 20, 20, 11, 2]],
    tensors: 5,
  },
  {
    name: 'c1',
    kind: 'clip-text-projection',
    config: {
      vocab_size: 60,
      hidden_size: 32,
      num_hidden_layers: 3,
      num_attention_heads: 4,
      intermediate_size: 48,
      max_position_embeddings: 20,
      projection_dim: 32,
      eos_token_id: 59,
      hidden_act: 'gelu_new',
      layer_norm_eps: 0.001,
    },
    eos: 59,
    pad: 59,
    shapes: [
      [3, 20, 20, 11, 2],
      [2, 5],
    ],
    tensors: 12,
  },
  {
    name: 'c2',
    kind: 'clip',
    config: {
      text_config: {
        vocab_size: 60,
        hidden_size: 32,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        intermediate_size: 48,
        max_position_embeddings: 20,
        eos_token_id: 2,
      },
      vision_config: {
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 8,
        image_size: 8,
        patch_size: 4,
      },
      projection_dim: 32,
    },
    eos: 59,
    pad: 0,
    shapes: [[3, 20, 20, 11, 2]],
    tensors: 6,
  },
  {
    name: 'v1',
    kind: 'videomae',
    config: {
      image_size: [16, 24],
      patch_size: 8,
      num_frames: 6,
      tubelet_size: 3,
      hidden_size: 24,
      num_hidden_layers: 3,
      num_attention_heads: 3,
      intermediate_size: 40,
      hidden_act: 'gelu_new',
      use_mean_pooling: false,
    },
    tensors: 6,
  },
  {
    name: 'v2',
    kind: 'videomae-classifier',
    config: {
      image_size: 16,
      patch_size: [8, 4],
      num_frames: 4,
      tubelet_size: 2,
      hidden_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 40,
      use_mean_pooling: false,
      num_labels: 2,
    },
    tensors: 5,
  },
  {
    name: 't1',
    kind: 'timesformer',
    config: {
      image_size: 16,
      patch_size: 4,
      num_frames: 5,
      hidden_size: 24,
      num_hidden_layers: 3,
      num_attention_heads: 3,
      intermediate_size: 40,
      hidden_act: 'relu',
      qkv_bias: false,
      layer_norm_eps: 0.001,
      num_channels: 1,
    },
    tensors: 6,
  },
  {
    name: 't2',
    kind: 'timesformer-classifier',
    config: {
      image_size: 24,
      patch_size: 8,
      num_frames: 2,
      hidden_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 3,
      intermediate_size: 40,
      attention_type: 'space_only',
      num_labels: 2,
      drop_path_rate: 0,
    },
    tensors: 5,
  },
]

const why = python === undefined ? ' (skipped: VQ_PYTHON names no Python with transformers)' : ''
describe.skipIf(python === undefined)(`other sizes and options${why}`, () => {
  beforeAll(() => {
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases))
    execFileSync(python!, [program, folder, join(folder, 'cases.json')], { stdio: 'ignore' })
  }, 60_000)

  test.each(cases)('$name of $kind', async ({ name, kind, tensors }) => {
    const options = String(kind).startsWith('clip') ? { tower: 'text' } : {}
    expect(await compared(folder, name, options)).toBe(tensors)
  })
})
