// ViT, DINOv2 (with registers too), CLIP's image tower, and torchvision's ViT, all of which are VisionTransformerEncoder.
import { VqConfigError, VqFormatError } from '@vq/core'
import { activationNames } from '../../transformer/index.js'
import { VisionTransformerEncoder, type VisionTransformerOptions } from '../../vit/index.js'
import type { FamilyInput, PretrainedFamily, WeightTarget } from '../families.js'
import { ModelConfig } from '../model-config.js'
import { type NamingRules, ruled } from '../rules.js'

const part = (at: string, which: string, kind: string): WeightTarget => ({
  name: `blocks.${at}.attn.qkv.${kind}`,
  part: 'qkv'.indexOf(which.charAt(0)),
  of: 3,
})

const head = /^(classifier|decoder|lm_head)\./
const layer = String.raw`^(?:vision_model\.)?(?:encoder\.)?layers?\.(\d+)\.`

// Names of transformers before and from version 5 on; files keep the former.
const transformerRules: NamingRules = [
  [head, () => undefined],
  [/^embeddings\.(mask_token|position_ids)$/, () => undefined],
  [/^embeddings\.cls_token$/, 'cls_token'],
  [/^embeddings\.position_embeddings$/, 'pos_embed'],
  [/^embeddings\.register_tokens$/, 'register_tokens'],
  [/^embeddings\.patch_embeddings\.projection\./, 'patch_embed.'],
  [
    new RegExp(
      `${layer}attention\\.(?:attention\\.)?(query|key|value|q_proj|k_proj|v_proj)\\.(weight|bias)$`,
    ),
    m => part(m[1]!, m[2]!, m[3]!),
  ],
  [new RegExp(`${layer}attention\\.(?:output\\.dense|o_proj)\\.`), 'blocks.$1.attn.proj.'],
  [new RegExp(`${layer}(?:layernorm_before|norm1)\\.`), 'blocks.$1.norm1.'],
  [new RegExp(`${layer}(?:layernorm_after|norm2)\\.`), 'blocks.$1.norm2.'],
  [new RegExp(`${layer}(?:intermediate\\.dense|mlp\\.fc1)\\.`), 'blocks.$1.mlp.fc1.'],
  [new RegExp(`${layer}(?:output\\.dense|mlp\\.fc2)\\.`), 'blocks.$1.mlp.fc2.'],
  [new RegExp(`${layer}mlp\\.weights_in\\.`), 'blocks.$1.mlp.w12.'],
  [
    new RegExp(`${layer}mlp\\.(gate|up)_proj\\.(weight|bias)$`),
    m => ({ name: `blocks.${m[1]}.mlp.w12.${m[3]}`, part: m[2] === 'gate' ? 0 : 1, of: 2 }),
  ],
  [new RegExp(`${layer}mlp\\.(?:weights_out|down_proj)\\.`), 'blocks.$1.mlp.w3.'],
  [new RegExp(`${layer}layer_scale([12])\\.lambda1$`), 'blocks.$1.ls$2.gamma'],
  [/^layernorm\./, 'norm.'],
  [/^pooler\.dense\./, 'head.'],
]

const clipRules: NamingRules = [
  [/^(text_model|text_projection|logit_scale|logit_bias|classifier)\b/, () => undefined],
  [/^(?:vision_model\.)?embeddings\.position_ids$/, () => undefined],
  [/^(?:vision_model\.)?embeddings\.class_embedding$/, () => ({ name: 'cls_token', leading: 2 })],
  [/^(?:vision_model\.)?embeddings\.position_embedding\.weight$/, () => ({ name: 'pos_embed', leading: 1 })],
  [/^(?:vision_model\.)?embeddings\.patch_embedding\./, 'patch_embed.'],
  [/^(?:vision_model\.)?pre_layr?norm\./, 'norm_pre.'],
  [/^(?:vision_model\.)?post_layernorm\./, 'norm.'],
  [new RegExp(`${layer}self_attn\\.([qkv])_proj\\.(weight|bias)$`), m => part(m[1]!, m[2]!, m[3]!)],
  [new RegExp(`${layer}self_attn\\.out_proj\\.`), 'blocks.$1.attn.proj.'],
  [new RegExp(`${layer}layer_norm([12])\\.`), 'blocks.$1.norm$2.'],
  [new RegExp(`${layer}mlp\\.fc([12])\\.`), 'blocks.$1.mlp.fc$2.'],
  [/^visual_projection\./, 'head.'],
]

const torchLayer = String.raw`^encoder\.layers\.encoder_layer_(\d+)\.`
const torchvisionRules: NamingRules = [
  [/^heads\./, () => undefined],
  [/^class_token$/, 'cls_token'],
  [/^encoder\.pos_embedding$/, 'pos_embed'],
  [/^conv_proj\./, 'patch_embed.'],
  [new RegExp(`${torchLayer}self_attention\\.in_proj_`), 'blocks.$1.attn.qkv.'],
  [new RegExp(`${torchLayer}self_attention\\.out_proj\\.`), 'blocks.$1.attn.proj.'],
  [new RegExp(`${torchLayer}ln_([12])\\.`), 'blocks.$1.norm$2.'],
  [new RegExp(`${torchLayer}mlp\\.(?:0|linear_1)\\.`), 'blocks.$1.mlp.fc1.'],
  [new RegExp(`${torchLayer}mlp\\.(?:3|linear_2)\\.`), 'blocks.$1.mlp.fc2.'],
  [/^encoder\.ln\./, 'norm.'],
]

/** What all of transformers' configurations share. */
function common(config: ModelConfig, { options }: FamilyInput, patch: number, epsilon: number) {
  const [height, width] = config.pair('image_size', 224)
  const pooling = options.pooling
  return {
    inputDim: [height, width, config.integer('num_channels', 3)],
    patchSize: config.pair('patch_size', patch),
    hiddenDim: config.integer('hidden_size', 768),
    numLayers: config.integer('num_hidden_layers', 12, { least: 0 }),
    numHeads: config.integer('num_attention_heads', 12),
    epsilon: config.number('layer_norm_eps', epsilon),
    ...(pooling === undefined ? {} : { pooling: pooling as 'cls' | 'mean' }),
  }
}

/** head_dim other than hidden_size / heads would make projections of other widths. */
function expectHeads(config: ModelConfig): void {
  if (config.has('head_dim'))
    config.require('head_dim', config.integer('hidden_size', 768) / config.integer('num_attention_heads', 12))
}

function vit(input: FamilyInput): VisionTransformerEncoder {
  const { config, entries } = input
  expectHeads(config)
  const hasPooler = entries.has('head.weight')
  const shared = common(config, input, 16, 1e-12)
  const pooled = hasPooler && shared.pooling !== 'mean'
  if (!pooled) for (const name of ['head.weight', 'head.bias']) entries.delete(name)
  const width = config.has('pooler_output_size')
    ? config.integer('pooler_output_size', shared.hiddenDim)
    : shared.hiddenDim
  return new VisionTransformerEncoder({
    ...shared,
    embeddingDim: pooled ? width : shared.hiddenDim,
    mlpDim: config.integer('intermediate_size', 3072),
    activation: config.choice('hidden_act', 'gelu', activationNames),
    qkvBias: config.flag('qkv_bias', true),
    dropout: config.number('hidden_dropout_prob', 0),
    attentionDropout: config.number('attention_probs_dropout_prob', 0),
    mlpDropout: 0,
    head: pooled,
    ...(pooled ? { headActivation: config.choice('pooler_act', 'tanh', activationNames) } : {}),
  })
}

function dinov2(input: FamilyInput, registers: boolean): VisionTransformerEncoder {
  const { config } = input
  expectHeads(config)
  const shared = common(config, input, registers ? 16 : 14, 1e-6)
  const ratio = config.number('mlp_ratio', 4, { least: 1e-3, most: 1e3 })
  const swiglu = config.flag('use_swiglu_ffn', false)
  const wide = Math.trunc(shared.hiddenDim * ratio)
  return new VisionTransformerEncoder({
    ...shared,
    // Two thirds of it, rounded up to a multiple of 8.
    mlpDim: swiglu ? Math.floor((Math.trunc((wide * 2) / 3) + 7) / 8) * 8 : wide,
    swiglu,
    activation: config.choice('hidden_act', 'gelu', activationNames),
    qkvBias: config.flag('qkv_bias', true),
    dropout: config.number('hidden_dropout_prob', 0),
    attentionDropout: config.number('attention_probs_dropout_prob', 0),
    mlpDropout: 0,
    layerScale: config.number('layerscale_value', 1, { least: -1e6, most: 1e6 }),
    ...(registers
      ? { numRegisters: config.integer('num_register_tokens', 4, { least: 0 }), antialiasPositions: true }
      : {}),
  })
}

function clip(input: FamilyInput): VisionTransformerEncoder {
  const whole = input.config
  const config = whole.has('vision_config') ? whole.section('vision_config') : whole
  const shared = common(config, input, 32, 1e-5)
  const projected = input.entries.has('head.weight')
  // Of the whole model's two values its own counts, not the tower's.
  const width = (whole.has('projection_dim') ? whole : config).integer('projection_dim', 512)
  return new VisionTransformerEncoder({
    ...shared,
    embeddingDim: projected ? width : shared.hiddenDim,
    mlpDim: config.integer('intermediate_size', 3072),
    activation: config.choice('hidden_act', 'quick_gelu', activationNames),
    dropout: 0,
    attentionDropout: config.number('attention_dropout', 0),
    patchBias: false,
    preNorm: true,
    finalNorm: 'pooled',
    head: projected,
    headBias: false,
  })
}

function torchvision({ entries, options }: FamilyInput): VisionTransformerEncoder {
  const shape = (name: string): number[] => entries.get(name)?.shape ?? missing(name)
  const [hiddenDim = 0, channels = 0, height = 0, width = 0] = shape('patch_embed.weight')
  const positions = (shape('pos_embed')[1] ?? 0) - 1
  const edge = Math.sqrt(positions)
  const layers = [...entries.keys()].filter(name => /^blocks\.\d+\.norm1\.weight$/.test(name)).length
  const given = new ModelConfig(options, 'the options of fromPretrained')
  const [imageHeight, imageWidth] = given.has('imageSize')
    ? given.pair('imageSize', 224)
    : [edge * height, edge * width]
  // torchvision's models are 64 wide per head, but for ViT-H/14 with 16 heads.
  const usual = hiddenDim === 1280 ? 16 : hiddenDim / 64
  const numHeads = given.has('numHeads') ? given.integer('numHeads', usual) : usual
  if (!Number.isInteger(numHeads) || !Number.isInteger(imageHeight))
    throw new VqConfigError({
      operation: 'fromPretrained',
      expected: "numHeads and imageSize, which torchvision's weights do not tell",
      received: `weights ${hiddenDim} wide with ${positions} positions`,
      remedy: 'Pass { numHeads, imageSize: [height, width] }.',
    })
  return new VisionTransformerEncoder({
    inputDim: [imageHeight, imageWidth, channels],
    patchSize: [height, width],
    hiddenDim,
    numLayers: layers,
    numHeads,
    mlpDim: layers === 0 ? 1 : (shape('blocks.0.mlp.fc1.weight')[0] ?? 0),
    epsilon: 1e-6,
    dropout: 0,
    ...(options.pooling === undefined ? {} : { pooling: options.pooling as 'cls' | 'mean' }),
  } satisfies VisionTransformerOptions)
}

function missing(name: string): never {
  throw new VqFormatError({
    operation: 'fromPretrained',
    expected: `weights '${name}' of a Vision Transformer`,
    received: 'none of that name',
    remedy: 'The checkpoint is incomplete: fetch it again.',
  })
}

export const visionTransformers: readonly PretrainedFamily[] = [
  { name: 'ViT', modelTypes: ['vit'], prefixes: ['vit.'], rename: ruled(transformerRules), create: vit },
  {
    name: 'DINOv2',
    modelTypes: ['dinov2'],
    prefixes: ['dinov2.'],
    rename: ruled(transformerRules),
    create: input => dinov2(input, false),
  },
  {
    name: 'DINOv2 with registers',
    modelTypes: ['dinov2_with_registers'],
    prefixes: ['dinov2_with_registers.'],
    rename: ruled(transformerRules),
    create: input => dinov2(input, true),
  },
  {
    name: 'CLIP, image tower',
    modelTypes: ['clip_vision_model', 'clip', 'clip:vision', 'clip_vision_model:vision'],
    rename: ruled(clipRules),
    create: clip,
  },
  {
    name: "torchvision's ViT",
    modelTypes: [],
    detect: names => names.has('class_token') && names.has('conv_proj.weight'),
    rename: ruled(torchvisionRules),
    create: torchvision,
  },
]
