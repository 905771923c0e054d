// BERT, RoBERTa, DistilBERT, models of sentence-transformers on top of them, and CLIP's text tower.

import {
  BertEncoder,
  ClipTextEncoder,
  type TextPooling,
  type TokenTransformerOptions,
} from '../../text/index.js'
import { activationNames } from '../../transformer/index.js'
import type { FamilyInput, PretrainedFamily, WeightTarget } from '../families.js'
import { ModelConfig } from '../model-config.js'
import { type NamingRules, ruled } from '../rules.js'
import { sentenceOptions } from '../sentence.js'

const part = (at: string, which: string, kind: string): WeightTarget => ({
  name: `blocks.${at}.attn.qkv.${kind}`,
  part: 'qkv'.indexOf(which.charAt(0)),
  of: 3,
})

// gamma and beta: names of normalisations in TensorFlow's checkpoints.
const norm = (match: RegExpExecArray, name: string): WeightTarget => ({
  name: `${name}.${/gamma|weight/.test(match.at(-1)!) ? 'weight' : 'bias'}`,
})
const ending = String.raw`\.LayerNorm\.(weight|bias|gamma|beta)$`

const bertRules: NamingRules = [
  [/^(cls|classifier|lm_head|qa_outputs|vocab_.*|pre_classifier)\b/, () => undefined],
  [/^embeddings\.(position_ids|token_type_ids)$/, () => undefined],
  [/^embeddings\.word_embeddings\./, 'token_embed.'],
  [/^embeddings\.position_embeddings\./, 'pos_embed.'],
  [/^embeddings\.token_type_embeddings\./, 'type_embed.'],
  [new RegExp(`^embeddings${ending}`), m => norm(m, 'norm_embed')],
  [
    /^encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.(weight|bias)$/,
    m => part(m[1]!, m[2]!, m[3]!),
  ],
  [/^encoder\.layer\.(\d+)\.attention\.output\.dense\./, 'blocks.$1.attn.proj.'],
  [new RegExp(String.raw`^encoder\.layer\.(\d+)\.attention\.output${ending}`), m => norm(m, `blocks.${m[1]}.norm1`)], // biome-ignore format: one rule
  [new RegExp(String.raw`^encoder\.layer\.(\d+)\.output${ending}`), m => norm(m, `blocks.${m[1]}.norm2`)],
  [/^encoder\.layer\.(\d+)\.intermediate\.dense\./, 'blocks.$1.mlp.fc1.'],
  [/^encoder\.layer\.(\d+)\.output\.dense\./, 'blocks.$1.mlp.fc2.'],
  [/^pooler\.dense\./, 'pooler.'],
]

const distilRules: NamingRules = [
  ...bertRules.slice(0, 6),
  [/^transformer\.layer\.(\d+)\.attention\.([qkv])_lin\.(weight|bias)$/, m => part(m[1]!, m[2]!, m[3]!)],
  [/^transformer\.layer\.(\d+)\.attention\.out_lin\./, 'blocks.$1.attn.proj.'],
  [/^transformer\.layer\.(\d+)\.sa_layer_norm\./, 'blocks.$1.norm1.'],
  [/^transformer\.layer\.(\d+)\.output_layer_norm\./, 'blocks.$1.norm2.'],
  [/^transformer\.layer\.(\d+)\.ffn\.lin([12])\./, 'blocks.$1.mlp.fc$2.'],
]

const clipRules: NamingRules = [
  [/^(vision_model|visual_projection|logit_scale|logit_bias)\b/, () => undefined],
  [/^(?:text_model\.)?embeddings\.position_ids$/, () => undefined],
  [/^(?:text_model\.)?embeddings\.token_embedding\./, 'token_embed.'],
  [/^(?:text_model\.)?embeddings\.position_embedding\./, 'pos_embed.'],
  [/^(?:text_model\.)?final_layer_norm\./, 'norm.'],
  [
    /^(?:text_model\.)?encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)$/,
    m => part(m[1]!, m[2]!, m[3]!),
  ],
  [/^(?:text_model\.)?encoder\.layers\.(\d+)\.self_attn\.out_proj\./, 'blocks.$1.attn.proj.'],
  [/^(?:text_model\.)?encoder\.layers\.(\d+)\.layer_norm([12])\./, 'blocks.$1.norm$2.'],
  [/^(?:text_model\.)?encoder\.layers\.(\d+)\.mlp\.fc([12])\./, 'blocks.$1.mlp.fc$2.'],
  [/^text_projection\./, 'head.'],
]

/** What decides between the checkpoint's own pooling and another one. */
function chosenPooling({ entries, options }: FamilyInput): Partial<TokenTransformerOptions> {
  const pooling = options.pooling as TextPooling | undefined
  // sentence-transformers' 'cls' is the bare token; BERT's own goes through the pooler, where the file has one.
  const pooler = (pooling ?? 'cls') === 'cls' && options.sentence !== true && entries.has('pooler.weight')
  if (!pooler) for (const name of ['pooler.weight', 'pooler.bias']) entries.delete(name)
  return {
    pooler,
    ...(pooling === undefined ? {} : { pooling }),
    normalize: normalized(options),
  }
}

function normalized(options: FamilyInput['options']): boolean {
  return new ModelConfig(options, 'the options of fromPretrained').flag('normalize', false)
}

function expectEncoderOnly(config: ModelConfig): void {
  config.require('is_decoder', false)
  config.require('add_cross_attention', false)
  config.require('position_embedding_type', 'absolute')
  // Of models whose tables are narrower than their layers.
  if (config.has('embedding_size')) config.require('embedding_size', config.integer('hidden_size', 768))
}

function bert(input: FamilyInput, roberta: boolean): BertEncoder {
  const { config } = input
  expectEncoderOnly(config)
  const usual = roberta ? { vocab: 50_265, pad: 1 } : { vocab: 30_522, pad: 0 }
  return new BertEncoder({
    vocabSize: config.integer('vocab_size', usual.vocab),
    hiddenDim: config.integer('hidden_size', 768),
    numLayers: config.integer('num_hidden_layers', 12, { least: 0 }),
    numHeads: config.integer('num_attention_heads', 12),
    mlpDim: config.integer('intermediate_size', 3072),
    maxLength: config.integer('max_position_embeddings', 512),
    typeVocabSize: config.integer('type_vocab_size', 2),
    activation: config.choice('hidden_act', 'gelu', activationNames),
    epsilon: config.number('layer_norm_eps', 1e-12),
    dropout: config.number('hidden_dropout_prob', 0.1),
    attentionDropout: config.number('attention_probs_dropout_prob', 0.1),
    ...(roberta ? { countedFrom: config.integer('pad_token_id', usual.pad, { least: 0 }) } : {}),
    ...chosenPooling(input),
  })
}

function distilbert(input: FamilyInput): BertEncoder {
  const { config } = input
  // Its own names, or those that they stand for.
  const own = (name: string, alias: string): string => (config.has(name) ? name : alias)
  return new BertEncoder({
    vocabSize: config.integer('vocab_size', 30_522),
    hiddenDim: config.integer(own('dim', 'hidden_size'), 768),
    numLayers: config.integer(own('n_layers', 'num_hidden_layers'), 6, { least: 0 }),
    numHeads: config.integer(own('n_heads', 'num_attention_heads'), 12),
    mlpDim: config.integer('hidden_dim', 3072),
    maxLength: config.integer('max_position_embeddings', 512),
    typeVocabSize: 0,
    activation: config.choice('activation', 'gelu', activationNames),
    dropout: config.number('dropout', 0.1),
    attentionDropout: config.number('attention_dropout', 0.1),
    ...chosenPooling(input),
  })
}

function clipText(input: FamilyInput): ClipTextEncoder {
  const { config: whole, entries, options } = input
  const config = whole.has('text_config') ? whole.section('text_config') : whole
  const hiddenDim = config.integer('hidden_size', 512)
  const projected = entries.has('head.weight')
  const width = (whole.has('projection_dim') ? whole : config).integer('projection_dim', 512)
  const eos = config.integer('eos_token_id', 49_407, { least: 0 })
  return new ClipTextEncoder({
    vocabSize: config.integer('vocab_size', 49_408),
    hiddenDim,
    embeddingDim: projected ? width : hiddenDim,
    head: projected,
    numLayers: config.integer('num_hidden_layers', 12, { least: 0 }),
    numHeads: config.integer('num_attention_heads', 8),
    mlpDim: config.integer('intermediate_size', 2048),
    maxLength: config.integer('max_position_embeddings', 77),
    activation: config.choice('hidden_act', 'quick_gelu', activationNames),
    epsilon: config.number('layer_norm_eps', 1e-5),
    attentionDropout: config.number('attention_dropout', 0),
    // Configurations of old say 2, which is wrong: the end of text then is the token with the highest id.
    eosTokenId: eos === 2 ? 'highest' : eos,
    ...(options.pooling === undefined ? {} : { pooling: options.pooling as TextPooling }),
    normalize: normalized(options),
  })
}

export const textTransformers: readonly PretrainedFamily[] = [
  {
    name: 'BERT',
    modelTypes: ['bert'],
    prefixes: ['bert.'],
    rename: ruled(bertRules),
    optionsOf: sentenceOptions,
    create: input => bert(input, false),
  },
  {
    name: 'RoBERTa',
    modelTypes: ['roberta', 'xlm-roberta', 'camembert'],
    prefixes: ['roberta.'],
    rename: ruled(bertRules),
    optionsOf: sentenceOptions,
    create: input => bert(input, true),
  },
  {
    name: 'DistilBERT',
    modelTypes: ['distilbert'],
    prefixes: ['distilbert.'],
    rename: ruled(distilRules),
    optionsOf: sentenceOptions,
    create: distilbert,
  },
  {
    name: 'CLIP, text tower',
    modelTypes: ['clip_text_model', 'clip:text', 'clip_text_model:text'],
    rename: ruled(clipRules),
    create: clipText,
  },
]
