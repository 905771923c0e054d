import { z } from 'zod'
import type { PipelineInput, PipelineValues } from './values.js'

const count = z.int().min(1)
const share = z.number().min(0).lt(1)
const positive = z.number().positive()

/** What each built-in encoder takes beside `inputDim`, `vocabSize` and `embeddingDim`, which the pipeline gives. */
export const encoderSchemas: Readonly<Record<string, z.ZodType>> = {
  cnn: z.strictObject({
    hiddenDims: z.array(count).min(1).describe('Channels of each stage, which halves the image.').optional(),
    kernelSize: count.describe('Edge of the filters, odd.').optional(),
    useResidual: z.boolean().describe('Whether each stage has a residual block.').optional(),
  }),
  resnet: z.strictObject({
    depth: z.literal([18, 34, 50, 101, 152]).optional(),
    block: z.enum(['basic', 'bottleneck']).optional(),
    depths: z.array(count).optional(),
    widths: z.array(count).optional(),
    stemWidth: count.optional(),
    groups: count.optional(),
    outputStride: z.literal([8, 16, 32]).optional(),
  }),
  vit: z.strictObject({
    patchSize: z.union([count, z.tuple([count, count])]).optional(),
    hiddenDim: count.optional(),
    numLayers: count.optional(),
    numHeads: count.optional(),
    mlpRatio: positive.optional(),
    dropout: share.optional(),
    attentionDropout: share.optional(),
    mlpDropout: share.optional(),
    pooling: z.enum(['cls', 'mean']).optional(),
  }),
  lstm: z.strictObject({
    tokenDim: count.optional(),
    hiddenDim: count.optional(),
    numLayers: count.optional(),
    bidirectional: z.boolean().optional(),
    pooling: z.enum(['attention', 'mean', 'last']).optional(),
    dropout: share.optional(),
  }),
  transformer: z.strictObject({
    hiddenDim: count.optional(),
    numHeads: count.optional(),
    numLayers: count.optional(),
    mlpDim: count.optional(),
    maxLength: count.describe('Most positions; by default the tokenizer’s maxLength.').optional(),
    positions: z.enum(['learned', 'sinusoidal']).optional(),
    pooling: z.enum(['cls', 'mean', 'max', 'mean_sqrt_len', 'weighted_mean', 'last']).optional(),
    preNorm: z.boolean().optional(),
    normalize: z.boolean().optional(),
    dropout: share.optional(),
  }),
  bert: z.strictObject({
    hiddenDim: count.optional(),
    numHeads: count.optional(),
    numLayers: count.optional(),
    mlpDim: count.optional(),
    maxLength: count.optional(),
    pooling: z.enum(['cls', 'mean', 'max', 'mean_sqrt_len', 'weighted_mean', 'last']).optional(),
    dropout: share.optional(),
  }),
  cnn3d: z.strictObject({
    hiddenDims: z.array(count).min(1).optional(),
    kernelSize: count.optional(),
  }),
  video_transformer: z.strictObject({
    patchSize: z.union([count, z.tuple([count, count])]).optional(),
    tubeletSize: count.optional(),
    hiddenDim: count.optional(),
    numLayers: count.optional(),
    temporalLayers: count.optional(),
    numHeads: count.optional(),
    mlpRatio: positive.optional(),
    dropout: share.optional(),
  }),
  linear: z.strictObject({}),
  none: z.strictObject({}),
}

/** The start and the upkeep of a codebook that training moves. */
const codebook = {
  initCodebook: z.enum(['uniform', 'kmeans', 'rd-gaussian', 'water-filling']).optional(),
  codebookUpdate: z.enum(['ema', 'gradient', 'learnable']).optional(),
  decay: share.optional(),
  deadCodeThreshold: z.number().min(0).optional(),
  revivalInterval: count.optional(),
}
const mlp = z.array(count).describe('Widths of the layers before the codebook; the same behind it, reversed.')
const codeDim = count.describe(
  'Length of the codes. Default: that of the embeddings, or 64 behind hiddenDims.',
)

/** What each method takes beside `numEmbeddings` and `commitmentCost`. */
export const methodSchemas: Readonly<Record<string, z.ZodType>> = {
  basic_vq: z.strictObject({ ...codebook, codeDim: codeDim.optional() }),
  vq_vae: z.strictObject({ ...codebook, hiddenDims: mlp.optional(), codeDim: codeDim.optional() }),
  rq_vae: z.strictObject({
    ...codebook,
    hiddenDims: mlp.optional(),
    codeDim: codeDim.optional(),
    numQuantizers: count.optional(),
    sharedCodebook: z.boolean().optional(),
    beamSize: count.optional(),
  }),
  rvq: z.strictObject({
    ...codebook,
    codeDim: codeDim.optional(),
    numQuantizers: count.optional(),
    sharedCodebook: z.boolean().optional(),
    beamSize: count.optional(),
  }),
  pq: z.strictObject({ ...codebook, parts: count.describe('Codes per vector.').optional() }),
  fsq: z.strictObject({
    levels: z
      .array(z.int().min(2))
      .min(1)
      .describe('By default those of the paper’s table for numEmbeddings.')
      .optional(),
    numCodebooks: count.describe('Codes per vector.').optional(),
    hiddenDims: mlp.optional(),
  }),
  lfq: z.strictObject({
    numCodebooks: count.describe('Codes per vector.').optional(),
    spherical: z.boolean().optional(),
    entropyLossWeight: z.number().min(0).optional(),
    diversityGamma: z.number().min(0).optional(),
    hiddenDims: mlp.optional(),
  }),
  rq_kmeans: z.strictObject({
    nStages: count.optional(),
    maxIter: count.optional(),
    tol: z.number().min(0).optional(),
    nInit: count.optional(),
    beamSize: count.optional(),
    maxShare: z.number().positive().max(1).optional(),
    batchSize: count.optional(),
    refit: z.int().min(0).optional(),
  }),
}

const tokenizerSchema = z.strictObject({
  type: z
    .string()
    .min(1)
    .default('bpe')
    .describe(
      "'word', 'character' or 'bpe', trained on the texts; or a folder or hub id with a tokenizer.json.",
    ),
  vocabSize: count.default(8000),
  maxLength: count.default(128).describe('Longer texts are cut to this many tokens.'),
  lowercase: z.boolean().default(true),
  minFrequency: count.default(1),
})

const trainingSchema = z.strictObject({
  epochs: count.optional().describe('How often to go through the data. Default 10, unless steps are given.'),
  steps: count.optional(),
  warmupSteps: z.int().min(0).optional().describe('Default: a twentieth of the steps, at most 1,000.'),
  schedule: z.enum(['constant', 'cosine']).default('cosine'),
  clipNorm: positive.nullable().default(1),
  weightDecay: z.number().min(0).default(0.01),
  seed: z.int().min(0).default(0),
  heldOut: z.number().min(0).max(0.5).default(0.1).describe('Share of the items that training does not see.'),
  checkpointEvery: count.optional(),
  freezeEncoder: z.boolean().optional().describe('Default: for pretrained encoders.'),
  temperature: positive.default(0.1).describe('Of the contrastive loss.'),
  projectionDim: count.default(128).describe('Width of the head that the contrastive loss looks through.'),
  cropScale: z.tuple([positive, positive]).default([0.3, 1]).describe('Share of the area that a view shows.'),
  flip: z.boolean().default(true).describe('Whether views are mirrored at random.'),
  colorJitter: z.number().min(0).max(1).default(0.5),
  grayscale: z.number().min(0).max(1).default(0.2).describe('How often a view has no colours.'),
  keepTokens: positive
    .max(1)
    .default(0.5)
    .describe('Share of a text’s tokens that its first view shows; the second shows the others.'),
  noise: z.number().min(0).default(0.1).describe('Of the views of vectors, relative to their spread.'),
  quantizerEpochs: count.default(10),
  quantizerLearningRate: positive.default(1e-3),
})

const inputDim = z.union([count, z.array(count).min(1).max(4)])

const tower = {
  encoderType: z.string().min(1),
  inputDim: inputDim.optional(),
  encoderConfig: z.record(z.string(), z.unknown()).default({}),
  tokenizer: tokenizerSchema.prefault({}),
}
const towerSchema = z.strictObject(tower)

export const pipelineSchema: z.ZodType<PipelineValues, PipelineInput> = z.strictObject({
  $schema: z.string().optional(),
  modality: z
    .enum(['image', 'text', 'video', 'vector', 'image_text'])
    .describe("'image_text' encodes both with one codebook."),
  ...tower,
  encoderType: tower.encoderType
    .optional()
    .describe('A built-in or registered encoder, or a pretrained one by its hub id or folder.'),
  image: towerSchema.optional().describe("The image encoder of 'image_text'."),
  text: towerSchema.optional().describe("The text encoder of 'image_text'."),
  vqMethod: z.string().min(1).describe('A method of this package, or a registered quantizer.'),
  vqConfig: z.record(z.string(), z.unknown()).default({}),
  inputDim: inputDim
    .optional()
    .describe('[H, W, C] of images, [T, H, W, C] of videos, the length of vectors.'),
  embeddingDim: count.default(256),
  numEmbeddings: z.int().min(2).default(1024),
  commitmentCost: z.number().min(0).default(0.25),
  granularity: z
    .enum(['item', 'position'])
    .default('item')
    .describe('Codes per item, or per patch, token or frame.'),
  objective: z
    .enum(['embedding', 'reconstruction', 'contrastive'])
    .optional()
    .describe(
      'Default: reconstruction; of pretrained encoders and vectors embedding; of image_text contrastive.',
    ),
  normalize: z
    .boolean()
    .optional()
    .describe('Whether embeddings are divided by their length. Default: with the contrastive objective.'),
  decoderConfig: z
    .strictObject({
      hiddenDims: z.array(count).min(1).optional(),
      hiddenDim: count.optional(),
      numLayers: count.optional(),
      numHeads: count.optional(),
      mlpDim: count.optional(),
      dropout: share.optional(),
      outputActivation: z.enum(['linear', 'sigmoid', 'tanh']).optional(),
    })
    .default({}),
  learningRate: positive.default(1e-4),
  batchSize: count.default(32),
  training: trainingSchema.prefault({}),
})
