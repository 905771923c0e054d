import { z } from 'zod'
import type { PipelineInput, PipelineValues } from './values.js'

const count = z.int().min(1)
const share = z.number().min(0).lt(1)
const positive = z.number().positive()

const widths = 'Width of the tokens, a multiple of numHeads. Default: embeddingDim.'
const patch = z
  .union([count, z.tuple([count, count])])
  .describe('Edge of a patch in pixels, or [height, width]. Default 16.')
const dropout = share.describe('Share of elements that training sets to 0. Default 0.1.')
const layers = z.int().min(0)
const textPooling = z.enum(['cls', 'mean', 'max', 'mean_sqrt_len', 'weighted_mean', 'last'])

/** What each built-in encoder takes beside `inputDim`, `vocabSize` and `embeddingDim`, which the pipeline gives. */
export const encoderSchemas: Readonly<Record<string, z.ZodType>> = {
  cnn: z.strictObject({
    hiddenDims: z
      .array(count)
      .min(1)
      .describe('Channels of each stage, which halves the image. Default [64, 128, 256, 512].')
      .optional(),
    kernelSize: count.describe('Edge of the filters, odd. Default 3.').optional(),
    useResidual: z.boolean().describe('Whether each stage has a residual block. Default false.').optional(),
  }),
  resnet: z.strictObject({
    depth: z
      .literal([18, 34, 50, 101, 152])
      .describe('Layers; sets block and depths. Default 18, unless those are given.')
      .optional(),
    block: z.enum(['basic', 'bottleneck']).describe('Kind of the residual blocks.').optional(),
    depths: z.array(count).describe('Blocks of each stage.').optional(),
    widths: z
      .array(count)
      .describe('Channels that each stage gives. Default 64, 128, …, four times as many with bottlenecks.')
      .optional(),
    stemWidth: count.describe('Channels of the first convolution. Default 64.').optional(),
    groups: count
      .describe('Groups of the 3×3 convolutions of bottlenecks, as in ResNeXt. Default 1.')
      .optional(),
    outputStride: z
      .literal([8, 16, 32])
      .describe('Pixels per place of the last feature map, kept by dilation. Default 32 with four stages.')
      .optional(),
  }),
  vit: z.strictObject({
    patchSize: patch.optional(),
    hiddenDim: count.describe(widths).optional(),
    numLayers: count.describe('Layers of attention. Default 6.').optional(),
    numHeads: count.describe('Heads of attention. Default 8.').optional(),
    mlpRatio: positive.describe('Width inside the feed-forward part over hiddenDim. Default 4.').optional(),
    dropout: dropout.optional(),
    attentionDropout: share.describe('Of attention weights. Default: dropout.').optional(),
    mlpDropout: share.describe('Inside the feed-forward part. Default: dropout.').optional(),
    pooling: z
      .enum(['cls', 'mean'])
      .describe("The embedding is the class token or the mean over the patches. Default 'cls'.")
      .optional(),
  }),
  lstm: z.strictObject({
    tokenDim: count.describe('Length of the tokens’ vectors. Default: embeddingDim.').optional(),
    hiddenDim: count.describe('Width of the states. Default 512.').optional(),
    numLayers: count.describe('Layers, one above the other. Default 2.').optional(),
    bidirectional: z
      .boolean()
      .describe('Whether texts are also read from their end to their start. Default true.')
      .optional(),
    pooling: z
      .enum(['attention', 'mean', 'last'])
      .describe(
        "A weighted mean over tokens with learned weights, their mean, or the states behind the last token. Default 'attention'.",
      )
      .optional(),
    dropout: dropout.optional(),
  }),
  transformer: z.strictObject({
    hiddenDim: count.describe('Width of the tokens, a multiple of numHeads. Default 512.').optional(),
    numHeads: count.describe('Heads of attention. Default 8.').optional(),
    numLayers: layers.describe('0: a bag of tokens, each with a vector of its own. Default 6.').optional(),
    mlpDim: count.describe('Width inside the feed-forward part. Default 2,048.').optional(),
    maxLength: count.describe('Most positions. Default, and least: the tokenizer’s maxLength.').optional(),
    positions: z
      .enum(['learned', 'sinusoidal'])
      .describe("A learned table, or sines of which nothing is learned. Default 'learned'.")
      .optional(),
    pooling: textPooling.describe("How tokens become the embedding. Default 'mean'.").optional(),
    preNorm: z
      .boolean()
      .describe('Whether layers normalise what they read rather than what they have added to. Default false.')
      .optional(),
    normalize: z
      .boolean()
      .describe('Whether the embedding is divided by its length. Default false.')
      .optional(),
    dropout: dropout.optional(),
  }),
  bert: z.strictObject({
    hiddenDim: count.describe('Width of the tokens, a multiple of numHeads. Default 768.').optional(),
    numHeads: count.describe('Heads of attention. Default 12.').optional(),
    numLayers: layers.describe('0: a bag of tokens, each with a vector of its own. Default 12.').optional(),
    mlpDim: count.describe('Width inside the feed-forward part. Default 3,072.').optional(),
    maxLength: count.describe('Most positions. Default, and least: the tokenizer’s maxLength.').optional(),
    pooling: textPooling.describe("How tokens become the embedding. Default 'cls'.").optional(),
    dropout: dropout.optional(),
  }),
  cnn3d: z.strictObject({
    hiddenDims: z
      .array(count)
      .min(1)
      .describe('Channels of each stage, which halves frames, height and width. Default [64, 128, 256, 512].')
      .optional(),
    kernelSize: count.describe('Edge of the filters, odd. Default 3.').optional(),
  }),
  video_transformer: z.strictObject({
    patchSize: patch.optional(),
    tubeletSize: count.describe('Frames that a patch spans. Default 1.').optional(),
    hiddenDim: count.describe(widths).optional(),
    numLayers: count.describe('Of the transformer within each frame. Default 6.').optional(),
    temporalLayers: count.describe('Of the transformer over time. Default 6.').optional(),
    numHeads: count.describe('Heads of attention, of both. Default 8.').optional(),
    mlpRatio: positive.describe('Width inside the feed-forward parts over hiddenDim. Default 4.').optional(),
    dropout: dropout.optional(),
  }),
  linear: z.strictObject({}),
  none: z.strictObject({}),
}

/** The start and the upkeep of a codebook that training moves. */
const codebook = {
  initCodebook: z
    .enum(['uniform', 'kmeans', 'rd-gaussian', 'water-filling'])
    .describe("Where the codes start. Default 'kmeans'.")
    .optional(),
  codebookUpdate: z
    .enum(['ema', 'gradient', 'learnable'])
    .describe(
      "What moves the codes: moving averages, the codebook loss, or any gradient that reaches them. Default 'ema'.",
    )
    .optional(),
  decay: share.describe('Share of the old averages. Default 0.99.').optional(),
  deadCodeThreshold: z
    .number()
    .min(0)
    .describe(
      'A code whose moving average of uses per batch is below this is put onto a vector of the batch; 0 for never. Default: a tenth of equal use, at most 1.',
    )
    .optional(),
  revivalInterval: count.describe('Steps between two looks for such codes. Default 10.').optional(),
}
const mlp = z
  .array(count)
  .describe('Widths of the layers before the codebook; the same behind it, reversed. Default [256, 128].')
const latticeMlp = z
  .array(count)
  .describe('Widths of the layers before the codes; the same behind them, reversed. Default: none.')
const codeDim = count.describe('Length of the codes. Default: that of the embeddings.')
const narrowCodeDim = count.describe('Length of the codes. Default 64.')
const levelsOf = count.describe('Codes per vector, each for what the ones before leave. Default 4.')
const shared = z.boolean().describe('Whether all levels use one codebook. Default false.')
const beamSize = count.describe('Paths that encoding keeps at each level. Default 1.')
const numCodebooks = count.describe('Codes per vector. Default 1.')

/** What each method takes beside `numEmbeddings` and `commitmentCost`. */
export const methodSchemas: Readonly<Record<string, z.ZodType>> = {
  basic_vq: z.strictObject({ ...codebook, codeDim: codeDim.optional() }),
  vq_vae: z.strictObject({ ...codebook, hiddenDims: mlp.optional(), codeDim: narrowCodeDim.optional() }),
  rq_vae: z.strictObject({
    ...codebook,
    hiddenDims: mlp.optional(),
    codeDim: narrowCodeDim.optional(),
    numQuantizers: levelsOf.optional(),
    sharedCodebook: shared.optional(),
    beamSize: beamSize.optional(),
  }),
  rvq: z.strictObject({
    ...codebook,
    codeDim: codeDim.optional(),
    numQuantizers: levelsOf.optional(),
    sharedCodebook: shared.optional(),
    beamSize: beamSize.optional(),
  }),
  pq: z.strictObject({
    ...codebook,
    parts: count.describe('Codes per vector. Default: the most, up to 8, that divide its length.').optional(),
  }),
  fsq: z.strictObject({
    levels: z
      .array(z.int().min(2))
      .min(1)
      .describe('Values of each number. Default: those of the paper’s table for numEmbeddings.')
      .optional(),
    numCodebooks: numCodebooks.optional(),
    hiddenDims: latticeMlp.optional(),
  }),
  lfq: z.strictObject({
    numCodebooks: numCodebooks.optional(),
    spherical: z
      .boolean()
      .describe('Binary spherical quantization: vectors are divided by their norms first. Default false.')
      .optional(),
    entropyLossWeight: z
      .number()
      .min(0)
      .describe('Weight of the entropy terms together. Default 0.1.')
      .optional(),
    diversityGamma: z
      .number()
      .min(0)
      .describe('γ, the weight of the entropy of the codes’ mean distribution within them. Default 1.')
      .optional(),
    hiddenDims: latticeMlp.optional(),
  }),
  rq_kmeans: z.strictObject({
    nStages: count.describe('Codes per vector, one of each stage. Default 4.').optional(),
    maxIter: count.describe('Most updates of the centroids of a stage. Default 100.').optional(),
    tol: z
      .number()
      .min(0)
      .describe(
        'A stage ends when its centroids’ summed squared shift is at most this times the mean variance. Default 1e-4.',
      )
      .optional(),
    nInit: count.describe('Starts of a stage, of which the best counts. Default 1.').optional(),
    beamSize: beamSize.optional(),
    maxShare: z
      .number()
      .positive()
      .max(1)
      .describe('No code of a stage holds more than this share of the embeddings that are fitted. Default 1.')
      .optional(),
    batchSize: count
      .describe('Mini-batch k-means with this many embeddings per update. Default: all.')
      .optional(),
    refit: z
      .int()
      .min(0)
      .describe('Rounds of solving for all codebooks at once and finding the codes anew. Default 0.')
      .optional(),
    sample: count
      .describe(
        'Embeddings that k-means learns from, drawn at random where there are more. Default: 256 per code.',
      )
      .optional(),
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
  vocabSize: count.default(8000).describe('Most tokens.'),
  maxLength: count.default(128).describe('Longer texts are cut to this many tokens.'),
  lowercase: z.boolean().default(true).describe('Whether upper case is read as lower case.'),
  minFrequency: count.default(1).describe('Rarer words, or pairs of a bpe, become no token.'),
})

const trainingSchema = z.strictObject({
  epochs: count.optional().describe('How often to go through the data. Default: 10, unless steps are given.'),
  steps: count.optional().describe('Batches to train on, instead of epochs.'),
  warmupSteps: z
    .int()
    .min(0)
    .optional()
    .describe('Steps in which the learning rate rises. Default: a twentieth of the steps, at most 1,000.'),
  schedule: z
    .enum(['constant', 'cosine'])
    .default('cosine')
    .describe('Of the learning rate, behind the warm-up.'),
  clipNorm: positive.nullable().default(1).describe('Largest norm of the gradients; null for no clipping.'),
  weightDecay: z.number().min(0).default(0.01).describe('Of AdamW.'),
  seed: z.int().min(0).default(0).describe('Fixes every draw of a run.'),
  heldOut: z.number().min(0).max(0.5).default(0.1).describe('Share of the items that training does not see.'),
  checkpointEvery: count.optional().describe('Steps between checkpoints. Default: one per epoch.'),
  freezeEncoder: z
    .boolean()
    .optional()
    .describe('Whether the encoder stays as it is. Default: for pretrained encoders.'),
  temperature: positive.default(0.1).describe('Of the contrastive loss.'),
  projectionDim: z
    .int()
    .min(0)
    .default(128)
    .describe('Width of the head that the contrastive loss looks through; 0 for none.'),
  cropScale: z.tuple([positive, positive]).default([0.3, 1]).describe('Share of the area that a view shows.'),
  flip: z.boolean().default(true).describe('Whether views are mirrored at random.'),
  colorJitter: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('How far brightness and contrast of views vary.'),
  grayscale: z.number().min(0).max(1).default(0.2).describe('How often a view has no colours.'),
  keepTokens: positive
    .max(1)
    .default(0.5)
    .describe('Share of a text’s tokens that its first view shows; the second shows the others.'),
  noise: z.number().min(0).default(0.1).describe('Of the views of vectors, relative to their spread.'),
  quantizerEpochs: count
    .default(10)
    .describe('Epochs over the embeddings where the quantizer alone is trained.'),
  quantizerLearningRate: positive.default(1e-3).describe('Of its layers, then.'),
})

const inputDim = z.union([count, z.array(count).min(1).max(4)])

const tower = {
  encoderType: z.string().min(1).describe('A built-in, registered or pretrained encoder.'),
  inputDim: inputDim.optional().describe('[H, W, C] of images; none for text.'),
  encoderConfig: z.record(z.string(), z.unknown()).default({}).describe('The encoder’s own options.'),
  tokenizer: tokenizerSchema.prefault({}).describe('How texts are cut into tokens.'),
}
const towerSchema = z.strictObject(tower)

export const pipelineSchema: z.ZodType<PipelineValues, PipelineInput> = z.strictObject({
  $schema: z.string().optional().describe('Where an editor finds the JSON Schema; not read.'),
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
  vqConfig: z.record(z.string(), z.unknown()).default({}).describe('The method’s own options.'),
  inputDim: inputDim
    .optional()
    .describe('[H, W, C] of images, [T, H, W, C] of videos, the length of vectors.'),
  embeddingDim: count.default(256).describe('Length of the embeddings.'),
  numEmbeddings: z.int().min(2).default(1024).describe('K, the codes of a level.'),
  commitmentCost: z.number().min(0).default(0.25).describe('β, the weight of the commitment loss.'),
  granularity: z
    .enum(['item', 'position'])
    .default('item')
    .describe('Codes per item, or per patch, token or frame.'),
  objective: z
    .enum(['embedding', 'reconstruction', 'contrastive'])
    .optional()
    .describe(
      'What training is for. Default: reconstruction; of pretrained encoders and vectors embedding; of image_text contrastive.',
    ),
  normalize: z
    .boolean()
    .optional()
    .describe('Whether embeddings are divided by their length. Default: with the contrastive objective.'),
  decoderConfig: z
    .strictObject({
      hiddenDims: z
        .array(count)
        .min(1)
        .optional()
        .describe(
          'Channels of an image’s or video’s stages. Default: the encoder’s, from the last to the first.',
        ),
      hiddenDim: count.optional().describe('Width of a text’s decoder. Default 256.'),
      numLayers: count.optional().describe('Of a text’s decoder. Default 2.'),
      numHeads: count.optional().describe('Of a text’s decoder. Default 4.'),
      mlpDim: count.optional().describe('Of a text’s decoder. Default: four times its width.'),
      dropout: share.optional().describe('Of a text’s decoder. Default 0.1.'),
      outputActivation: z
        .enum(['linear', 'sigmoid', 'tanh'])
        .optional()
        .describe("Of images and videos. Default 'linear'."),
    })
    .default({})
    .describe('The decoder of the reconstruction objective.'),
  learningRate: positive.default(1e-4).describe('Of encoder, layers around the codes, and decoder.'),
  batchSize: count.default(32).describe('Items of a training step.'),
  training: trainingSchema.prefault({}).describe('How training goes.'),
})
