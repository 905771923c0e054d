import { random, tf } from '@vq/core'
import { Module } from '@vq/core/nn'
import { VQVAE, type VQVAEOptions } from '@vq/models'
import { DataLoader, type Dataset } from '@vq/models/data'
import { type History, Trainer, type TrainerOptions } from '@vq/models/train'
import { IGPT, type IGPTOptions } from '../model/index.js'
import { TextTokenizer } from '../tokens/text-tokenizer.js'
import { Vocabulary } from '../tokens/vocabulary.js'
import { type ImageTokens, imageTokens, pairSequences, signed } from './tokens.js'

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
  signal?: AbortSignal
  progress?: TrainerOptions['progress']
}

/** What a stage gives beside its model: losses of training and of what was held out, per epoch. */
export interface StageResult {
  trainLosses: number[]
  testLosses: number[]
  history: History
}

export interface Captioned extends Dataset {
  readonly captions: readonly string[]
}

// Values of 0 to 1 reach the model as −1 to 1.
class SignedImages extends Module {
  private readonly model: VQVAE

  constructor(model: VQVAE) {
    super()
    this.model = this.addModule('model', model)
  }

  forward(x: tf.Tensor): { loss: tf.Scalar } & Record<string, tf.Tensor> {
    return tf.tidy(() => {
      const { loss, reconstructionLoss, perplexity } = this.model.forward(signed(x) as tf.Tensor4D)
      return { loss, reconstructionLoss, perplexity }
    })
  }

  prepare(x: tf.Tensor): Promise<void> {
    const images = tf.tidy(() => signed(x) as tf.Tensor4D)
    return this.model.prepare(images).finally(() => images.dispose())
  }
}

/** Stage 1: the VQ-VAE that makes image tokens, by default the 'igpt' architecture. Images are of values 0 to 1. */
export async function trainImageModel(
  train: Dataset,
  test: Dataset,
  { model: options = {}, ...stage }: StageOptions & { model?: VQVAEOptions } = {},
): Promise<StageResult & { model: VQVAE }> {
  random.seed(stage.seed ?? 0)
  const model = new VQVAE({ architecture: 'igpt', ...options })
  const { epochs, steps } = lengthOf(stage)
  const result = await trained(new SignedImages(model), train, test, stage, {
    ...(epochs ? { epochs } : { steps: steps as number }),
    clipNorm: 1,
  })
  model.eval()
  return { ...result, model }
}

export interface PairModel {
  model: IGPT
  tokenizer: TextTokenizer
  vocabulary: Vocabulary
}

/**
 * Stage 2: the transformer over tokens of images and captions, in both orders. Tokens are computed once. With a cosine after a
 * warm-up of 1,000 steps, or a tenth of them where they are few.
 */
export async function trainPairModel(
  images: VQVAE,
  train: Captioned,
  test: Captioned,
  {
    model: options = {},
    blankEvery,
    ...stage
  }: StageOptions & { model?: Partial<IGPTOptions>; blankEvery?: number } = {},
): Promise<StageResult & PairModel & { tokens: { train: ImageTokens; test: ImageTokens } }> {
  const { signal } = stage
  const [own, held] = [
    await imageTokens(images, train, { pixels: 'signed', signal }),
    await imageTokens(images, test, { pixels: 'signed', signal }),
  ]
  const tokenizer = new TextTokenizer([...train.captions, ...test.captions])
  const textLength = Math.max(
    ...[...train.captions, ...test.captions].map(text => tokenizer.encode(text).length),
  )
  const vocabulary = new Vocabulary({
    codebookSizes: new Array<number>(own.levels).fill(images.quantizer.codebookSize),
    words: tokenizer.size,
    places: own.grid[0] * own.grid[1],
    textLength,
  })
  random.seed((stage.seed ?? 0) + 1)
  const model = new IGPT({ ...options, vocabSize: vocabulary.size, contextLength: vocabulary.sequenceLength })
  const shared = { vocabulary, tokenizer, ...(blankEvery !== undefined && { blankEvery }) }
  const sequences = pairSequences(own, train.captions, shared)
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
      warmupSteps: Math.min(1000, Math.ceil(all / 10)),
      clipNorm: 1,
    },
  )
  model.eval()
  return { ...result, model, tokenizer, vocabulary, tokens: { train: own, test: held } }
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
  { batchSize = 128, learningRate = 1e-3, seed = 0, out, resume = false, signal, progress }: StageOptions,
  own: TrainerOptions,
): Promise<StageResult> {
  const loader = new DataLoader(train, { batchSize: Math.min(batchSize, train.length), seed })
  const validation = new DataLoader(test, { batchSize: Math.min(batchSize, test.length), shuffle: false })
  const trainer = new Trainer({
    ...own,
    learningRate,
    seed,
    ...(out !== undefined && { out, resume, overwrite: !resume }),
    ...(signal && { signal, handleSignals: false }),
    ...(progress !== undefined && { progress }),
  })
  const history = await trainer.fit(model, loader, { validation })
  return {
    trainLosses: history.epochs.map(e => e.train.loss as number),
    testLosses: history.metrics.filter(m => m.split === 'validation').map(m => m.loss),
    history,
  }
}
