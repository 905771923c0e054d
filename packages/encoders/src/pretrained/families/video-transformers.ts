// VideoMAE and TimeSformer.
import { activationNames } from '../../transformer/index.js'
import { TimeSformerEncoder, VideoMAEEncoder } from '../../video/index.js'
import { attentionTypes } from '../../video/timesformer.js'
import type { FamilyInput, PretrainedFamily, WeightTarget } from '../families.js'
import type { ModelConfig } from '../model-config.js'
import { type NamingRules, ruled } from '../rules.js'

// VideoMAE's keys have no bias, which would change nothing: all of a query's scores move by the same.
const part = (at: string, which: string, kind: string): WeightTarget => ({
  name: `blocks.${at}.attn.qkv.${kind}`,
  part: 'qkv'.indexOf(which.charAt(0)),
  of: 3,
  zeros: kind === 'bias',
})

const layer = String.raw`^encoder\.layer\.(\d+)\.`
const shared: NamingRules = [
  [/^classifier\./, () => undefined],
  [/^embeddings\.patch_embeddings\.projection\./, 'patch_embed.'],
  [new RegExp(String.raw`${layer}attention\.output\.dense\.`), 'blocks.$1.attn.proj.'],
  [new RegExp(String.raw`${layer}layernorm_before\.`), 'blocks.$1.norm1.'],
  [new RegExp(String.raw`${layer}layernorm_after\.`), 'blocks.$1.norm2.'],
  [new RegExp(String.raw`${layer}intermediate\.dense\.`), 'blocks.$1.mlp.fc1.'],
  [new RegExp(String.raw`${layer}output\.dense\.`), 'blocks.$1.mlp.fc2.'],
  [/^layernorm\./, 'norm.'],
]

const videoMaeNames = ruled([
  [/^(decoder|encoder_to_decoder)\./, () => undefined],
  [/^(mask_token|position_embeddings|embeddings\.position_embeddings)$/, () => undefined],
  [/^fc_norm\./, 'pool_norm.'],
  [
    new RegExp(String.raw`${layer}attention\.attention\.(query|key|value)\.(weight|bias)$`),
    m => part(m[1]!, m[2]!, m[3]!),
  ],
  // Files of before version 5 of transformers.
  [new RegExp(String.raw`${layer}attention\.attention\.([qv])_bias$`), m => part(m[1]!, m[2]!, 'bias')],
  ...shared,
])

const timesformerNames = ruled([
  [/^embeddings\.cls_token$/, 'cls_token'],
  [/^embeddings\.position_embeddings$/, 'pos_embed'],
  [/^embeddings\.time_embeddings$/, 'time_embed'],
  [new RegExp(String.raw`${layer}temporal_layernorm\.`), 'blocks.$1.temporal_norm.'],
  [new RegExp(String.raw`${layer}temporal_attention\.attention\.qkv\.`), 'blocks.$1.temporal_attn.qkv.'],
  [new RegExp(String.raw`${layer}temporal_attention\.output\.dense\.`), 'blocks.$1.temporal_attn.proj.'],
  [new RegExp(String.raw`${layer}temporal_dense\.`), 'blocks.$1.temporal_fc.'],
  [new RegExp(String.raw`${layer}attention\.attention\.qkv\.`), 'blocks.$1.attn.qkv.'],
  ...shared,
])

/** What both families' configurations share. */
function common(config: ModelConfig, frames: number, epsilon: number) {
  const [height, width] = config.pair('image_size', 224)
  const hiddenDim = config.integer('hidden_size', 768)
  return {
    inputDim: [
      config.integer('num_frames', frames),
      height,
      width,
      config.integer('num_channels', 3),
    ] as const,
    patchSize: config.pair('patch_size', 16),
    hiddenDim,
    numLayers: config.integer('num_hidden_layers', 12, { least: 0 }),
    numHeads: config.integer('num_attention_heads', 12),
    mlpDim: config.integer('intermediate_size', 3072),
    activation: config.choice('hidden_act', 'gelu', activationNames),
    epsilon: config.number('layer_norm_eps', epsilon),
    dropout: config.number('hidden_dropout_prob', 0),
    attentionDropout: config.number('attention_probs_dropout_prob', 0),
  }
}

function videoMae({ config, entries, options }: FamilyInput): VideoMAEEncoder {
  const mean = config.flag('use_mean_pooling', true)
  const pooling = (options.pooling as 'mean' | 'first' | undefined) ?? (mean ? 'mean' : 'first')
  const poolNorm = pooling === 'mean' && entries.has('pool_norm.weight')
  if (!poolNorm) for (const name of ['pool_norm.weight', 'pool_norm.bias']) entries.delete(name)
  return new VideoMAEEncoder({
    ...common(config, 16, 1e-12),
    tubeletSize: config.integer('tubelet_size', 2),
    qkvBias: config.flag(config.has('qkv_bias') ? 'qkv_bias' : 'qv_bias', true),
    finalNorm: !mean,
    pooling,
    poolNorm,
  })
}

function timesformer({ config }: FamilyInput): TimeSformerEncoder {
  return new TimeSformerEncoder({
    ...common(config, 8, 1e-6),
    attentionType: config.choice('attention_type', 'divided_space_time', attentionTypes),
    qkvBias: config.flag('qkv_bias', true),
  })
}

export const videoTransformers: readonly PretrainedFamily[] = [
  {
    name: 'VideoMAE',
    modelTypes: ['videomae'],
    // Not by `prefixes`: fc_norm stands beside the model.
    rename: name => videoMaeNames(name.replace(/^videomae\./, '')),
    create: videoMae,
  },
  {
    name: 'TimeSformer',
    modelTypes: ['timesformer'],
    prefixes: ['timesformer.'],
    rename: timesformerNames,
    create: timesformer,
  },
]
