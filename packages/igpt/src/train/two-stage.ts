import { random, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { type RQVAE, StyleVQVAE, type VQVAE } from '@vq/models'
import { DataLoader, type Dataset } from '@vq/models/data'
import { type History, Trainer, type TrainerOptions } from '@vq/models/train'
import {
  codebooksOf,
  type ImageModel,
  type ImageModelOptions,
  makeImageModel,
} from '../images/image-model.js'
import { IGPT, type IGPTOptions } from '../model/index.js'
import { TextTokenizer } from '../tokens/text-tokenizer.js'
import { Vocabulary } from '../tokens/vocabulary.js'
import { type ImageTokens, imageTokens, pairSequences, type SequenceOptions, signed } from './tokens.js'

/** How a stage trains. */
export interface StageOptions {
  epochs?: number
  steps?: number
  /** Default 128. */
  batchSize?: number
  /** Default 1e-3. */
  learningRate?: number
  /** Default 0. */
  seed?: number
  /** Folder of checkpoints and metrics. */
  out?: string
  resume?: boolean
  /** Steps between checkpoints in `out`. Default: one per epoch. */
  checkpointEvery?: number
  signal?: AbortSignal
  progress?: TrainerOptions['progress']
}

/** What a stage gives beside its model: losses of training and of what was held out, per epoch. */
export interface StageResult {
  trainLosses: number[]
  testLosses: number[]
  history: History
}

export interface ImageStageOptions<O extends ImageModelOptions> extends StageOptions {
  /** `kind` 'vqvae' (default), 'rqvae' or 'style', and what the model takes. */
  model?: O
  /** 'cosine' goes down to 0 after a warm-up of 100 steps. Default 'constant'. */
  schedule?: 'constant' | 'cosine'
}

/** The model of a kind. */
export type ImageModelOf<O extends ImageModelOptions> = O extends { kind: 'style' }
  ? StyleVQVAE
  : O extends { kind: 'rqvae' }
    ? RQVAE
    : VQVAE

export interface PairStageOptions
  extends StageOptions,
    Pick<SequenceOptions, 'blankEvery' | 'textWeight' | 'wholeWeight'> {
  model?: Partial<IGPTOptions>
  /** Default: 1,000, or a tenth of the steps where they are few. */
  warmupSteps?: number
}

export interface Captioned extends Dataset {
  readonly captions: readonly string[]
}

// Values of 0 to 1 reach the model as −1 to 1.
class SignedImages extends Module {
  private readonly model: ImageModel

  constructor(model: ImageModel) {
    super()
    this.model = this.addModule('model', model)
  }

  forward(x: tf.Tensor): { loss: tf.Scalar } & Record<string, tf.Tensor> {
    return tf.tidy(() => {
      const { reconstructed: _, indices: __, ...results } = this.model.forward(signed(x))
      const scalars = Object.entries(results).filter(
        ([, value]) => value instanceof tf.Tensor && value.rank === 0,
      )
      return Object.fromEntries(scalars) as { loss: tf.Scalar }
    })
  }

  prepare(x: tf.Tensor): Promise<void> {
    const images = tf.tidy(() => signed(x))
    return this.model.prepare(images).finally(() => images.dispose())
  }
}

/** Stage 1: the model that makes image tokens, by default a VQ-VAE of the 'igpt' architecture. Images are of values 0 to 1. */
export async function trainImageModel<O extends ImageModelOptions = { kind?: 'vqvae' }>(
  train: Dataset,
  test: Dataset,
  { model: options, schedule = 'constant', ...stage }: ImageStageOptions<O> = {},
): Promise<StageResult & { model: ImageModelOf<O> }> {
  random.seed(stage.seed ?? 0)
  const model = makeImageModel(options ?? {})
  const signedImages = new SignedImages(model)
  const { epochs, steps } = lengthOf(stage)
  if (model instanceof StyleVQVAE && !model.ready) await start(signedImages, train, model)
  const result = await trained(signedImages, train, test, stage, {
    ...(epochs ? { epochs } : { steps: steps as number }),
    schedule,
    clipNorm: 1,
    ...(schedule === 'cosine' && { warmupSteps: 100 }),
  })
  model.eval()
  return { ...result, model: model as ImageModelOf<O> }
}

// A style is one vector of an image: k-means wants more of them than a batch has.
async function start(images: SignedImages, train: Dataset, { architecture }: StyleVQVAE): Promise<void> {
  const count = Math.min(4 * architecture.styleEmbeddings, train.length)
  const values = await train.batch(Int32Array.from({ length: count }, (_, i) => i))
  const x = tf.tensor(values, [count, ...train.shape])
  try {
    await images.prepare(x)
  } finally {
    x.dispose()
  }
}

export interface PairModel {
  model: IGPT
  tokenizer: TextTokenizer
  vocabulary: Vocabulary
  /** Rows and columns of an image's places. Default: a square. */
  grid?: readonly [number, number]
}

/**
 * Stage 2: the transformer over tokens of images and captions, in both orders. Tokens are computed once. With a cosine after a
 * warm-up of 1,000 steps, or a tenth of them where they are few.
 */
export async function trainPairModel(
  images: ImageModel,
  train: Captioned,
  test: Captioned,
  { model: options = {}, blankEvery, textWeight, wholeWeight, warmupSteps, ...stage }: PairStageOptions = {},
): Promise<StageResult & PairModel & { tokens: { train: ImageTokens; test: ImageTokens } }> {
  const { signal } = stage
  const [own, held] = [
    await imageTokens(images, train, { pixels: 'signed', signal }),
    await imageTokens(images, test, { pixels: 'signed', signal }),
  ]
  const captions = [...train.captions, ...test.captions]
  const tokenizer = new TextTokenizer(captions)
  const textLength = captions.reduce((most, text) => Math.max(most, tokenizer.encode(text).length), 0)
  const { whole, levels } = codebooksOf(images)
  const vocabulary = new Vocabulary({
    codebookSizes: levels,
    wholeSizes: whole,
    words: tokenizer.size,
    places: own.grid[0] * own.grid[1],
    textLength,
  })
  random.seed((stage.seed ?? 0) + 1)
  const model = new IGPT({ ...options, vocabSize: vocabulary.size, contextLength: vocabulary.sequenceLength })
  const shared = { vocabulary, tokenizer }
  const sequences = pairSequences(own, train.captions, {
    ...shared,
    ...(blankEvery !== undefined && { blankEvery }),
    ...(textWeight !== undefined && { textWeight }),
    ...(wholeWeight !== undefined && { wholeWeight }),
  })
  const batchSize = Math.min(stage.batchSize ?? 128, sequences.length)
  const { epochs, steps } = lengthOf(stage)
  const all = steps ?? (epochs as number) * Math.floor(sequences.length / batchSize)
  const result = await trained(
    model,
    sequences,
    pairSequences(held, test.captions, { ...shared, blankEvery: 0 }),
    stage,
    {
      steps: all,
      schedule: 'cosine',
      warmupSteps: warmupSteps ?? Math.min(1000, Math.ceil(all / 10)),
      clipNorm: 1,
    },
  )
  model.eval()
  return { ...result, model, tokenizer, vocabulary, grid: own.grid, tokens: { train: own, test: held } }
}

function lengthOf({ epochs, steps }: StageOptions): {
  epochs: number | undefined
  steps: number | undefined
} {
  return { epochs: epochs ?? (steps === undefined ? 30 : undefined), steps }
}

async function trained(
  model: Module & { forward(x: tf.Tensor, extras?: Record<string, tf.Tensor>): { loss: tf.Scalar } },
  train: Dataset<Float32Array | Int32Array>,
  test: Dataset<Float32Array | Int32Array>,
  { batchSize = 128, learningRate = 1e-3, seed = 0, out, resume = false, ...rest }: StageOptions,
  own: TrainerOptions,
): Promise<StageResult> {
  const loader = new DataLoader(train, { batchSize: Math.min(batchSize, train.length), seed })
  const validation = new DataLoader(test, { batchSize: Math.min(batchSize, test.length), shuffle: false })
  const { checkpointEvery, signal, progress } = rest
  const trainer = new Trainer({
    ...own,
    learningRate,
    seed,
    ...(out !== undefined && { out, resume, overwrite: !resume }),
    ...(signal && { signal, handleSignals: false }),
    ...(progress !== undefined && { progress }),
    ...(checkpointEvery !== undefined && { checkpointEvery }),
  })
  const history = await trainer.fit(model, loader, { validation })
  return {
    trainLosses: history.epochs.map(e => e.train.loss as number),
    testLosses: history.metrics.filter(m => m.split === 'validation').map(m => m.loss),
    history,
  }
}
