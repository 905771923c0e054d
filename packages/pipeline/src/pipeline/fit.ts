import { readSync } from 'node:fs'
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expectConfig, noGrad, Random, random, tf, VqAbortError, VqConfigError } from '@vq/core'
import { AdamW } from '@vq/core/optim'
import { ArrayDataset, BaseDataset, DataLoader, type Dataset, type Values } from '@vq/models/data'
import { type History, Trainer, type TrainerOptions } from '@vq/models/train'
import { sampleOf } from '../codec/build.js'
import { type Codec, enough } from '../codec/codec.js'
import { joined } from '../joined.js'
import type { FailedItem, Source } from '../sources/index.js'
import { memorySource } from '../sources/memory.js'
import { embedSource } from './embed.js'
import { CodecModel, ContrastiveModel, ReconstructionModel } from './objectives.js'
import { type PairRecall, pairRecall } from './pair-recall.js'
import type { PipelineParts } from './parts.js'
import type { Tower } from './tower.js'
import { heldOutOf, textsOf, trainingData } from './training-data.js'

export interface PipelineFitOptions {
  /** Folder of checkpoints, metrics and embeddings; needed to resume. */
  out?: string
  /** Goes on from what a stopped run left in `out`. Default false. */
  resume?: boolean
  signal?: AbortSignal
  /** A bar on a terminal, else a line now and then; or a function. Default true. */
  progress?: TrainerOptions['progress']
  /** Told what happens, a line at a time. */
  say?: (line: string) => void
}

/** What a fit did. */
export interface FitReport {
  items: number
  skipped: number
  /** Of the training of the encoder, where it was trained. */
  encoder?: History
  /** Of the quantizer on its embeddings, where it was trained on them. */
  quantizer?: History
  /** Of k-means: the mean squared error per element after each stage. */
  stageErrors?: readonly number[]
  /** Of `image_text`: how often the caption of a held-out picture is found among theirs, and the picture of a caption. */
  recall?: PairRecall
  seconds: number
}

const mostSample = 2 ** 16

/** Trains all that a pipeline learns. */
export async function fitParts(
  parts: PipelineParts,
  given: Source,
  options: PipelineFitOptions,
): Promise<FitReport> {
  const started = performance.now()
  const { config, towers, codec } = parts
  const { signal, say = () => {} } = options
  const [tower, partner] = towers as [Tower, Tower | undefined]
  expectConfig(
    given.modality === tower.modality,
    'VQPipeline.fit',
    `a source of ${tower.modality}s`,
    given.modality,
    'Open it with the pipeline’s modality.',
  )
  const trainsEncoder = config.objective !== 'embedding' && towers.some(t => t.encoder !== undefined)
  // Vectors for the quantizer are checked as they are read; the rest is read once, so that training never meets a bad item.
  const isChecked = given.modality !== 'vector' || trainsEncoder
  const source = isChecked ? await given.check(signal === undefined ? {} : { signal }) : given
  for (const t of towers) if (t.modality === 'text') await t.learnTokens(await textsOf(source))
  const report: FitReport = { items: source.length, skipped: source.skipped.length, seconds: 0 }
  // Views of items teach nothing of codes of positions: those are learned afterwards.
  const codesLater =
    codec.kmeans !== undefined ||
    (config.objective === 'contrastive' && config.values.granularity === 'position')
  if (trainsEncoder) {
    say(
      `Training ${config.objective === 'contrastive' ? 'by contrast' : 'to reconstruct'}, ${source.length.toLocaleString('en-US')} items`,
    )
    report.encoder = await trainEncoder(parts, source, options, codesLater)
  }
  if (!trainsEncoder || codesLater) {
    say(codec.kmeans === undefined ? 'Training the quantizer on embeddings' : 'Fitting k-means to embeddings')
    const seen = partner === undefined ? [tower] : towers
    const store = await EmbeddingStore.fill(parts, seen, source, options)
    if (!isChecked) {
      report.items -= store.failed
      report.skipped += store.failed
    }
    // A run that goes on behind the encoder's training draws what the whole run draws.
    if (trainsEncoder) random.seed(config.values.training.seed)
    try {
      if (codec.kmeans !== undefined) {
        const { codebookSize } = codec.quantizer
        const few = store.length < codebookSize
        if (few)
          say(`${store.length} embeddings for ${codebookSize} codes: most of the codes stay without use`)
        await codec.kmeans.fit(few ? await manyOf(store, codebookSize) : store.blocks(signal), {
          ...(signal && { signal }),
          ...(options.out !== undefined && {
            checkpoint: join(options.out, 'kmeans.safetensors'),
            resume: options.resume ?? false,
          }),
        })
        codec.takeFitted()
        report.stageErrors = codec.kmeans.stageErrors
      } else report.quantizer = await trainCodec(parts, store, options)
    } finally {
      await store.close()
    }
  }
  parts.eval()
  if (partner !== undefined) {
    const { heldOut } = heldOutOf(await trainingData(towers, source), config.values)
    if (heldOut !== undefined) report.recall = await pairRecall(parts, heldOut)
  }
  report.seconds = (performance.now() - started) / 1000
  return report
}

async function trainEncoder(
  parts: PipelineParts,
  source: Source,
  options: PipelineFitOptions,
  codesLater: boolean,
): Promise<History> {
  const { config, towers, codec, decoder } = parts
  const { values } = config
  const { training } = values
  const data = await trainingData(towers, source)
  const { train, heldOut } = heldOutOf(data, values)
  const [tower] = towers as [Tower]
  const model =
    config.objective === 'contrastive'
      ? new ContrastiveModel(
          { towers, codec: codesLater ? undefined : codec, options: training },
          config.freezeEncoder,
        )
      : new ReconstructionModel(
          {
            tower,
            codec,
            decoder: decoder as NonNullable<typeof decoder>,
            granularity: values.granularity,
            normalize: config.normalize,
          },
          config.freezeEncoder,
        )
  const batchSize = Math.min(values.batchSize, train.length)
  expectConfig(
    config.objective !== 'contrastive' || batchSize > 1,
    'VQPipeline.fit',
    'at least two items in a batch to tell apart',
    batchSize,
    'Give more items or a larger batchSize.',
  )
  if (!codesLater) await firstCodes(parts, train)
  model.train()
  const loader = new DataLoader(train, { batchSize, seed: training.seed })
  const validation =
    heldOut &&
    new DataLoader(heldOut, {
      batchSize: Math.min(batchSize, heldOut.length),
      shuffle: false,
      dropLast: config.objective === 'contrastive',
    })
  const trainer = trainerOf(options, 'training', {
    ...lengthOf(training, loader.stepsPerEpoch),
    learningRate: values.learningRate,
    schedule: training.schedule,
    clipNorm: training.clipNorm,
    seed: training.seed,
    optimizer: (module, learningRate) =>
      new AdamW(module, { learningRate, weightDecay: training.weightDecay }),
    ...(training.checkpointEvery !== undefined && { checkpointEvery: training.checkpointEvery }),
  })
  try {
    return await trainer.fit(model, loader, validation === undefined ? {} : { validation })
  } finally {
    if (model instanceof ContrastiveModel) model.disposeHead()
  }
}

function lengthOf(
  {
    epochs,
    steps,
    warmupSteps,
  }: { epochs?: number | undefined; steps?: number | undefined; warmupSteps?: number | undefined },
  perEpoch: number,
): Pick<TrainerOptions, 'steps' | 'warmupSteps'> {
  const all = steps ?? (epochs ?? 10) * perEpoch
  return { steps: all, warmupSteps: Math.min(all, warmupSteps ?? Math.min(1000, Math.ceil(all / 20))) }
}

function trainerOf(
  { out, resume = false, signal, progress }: PipelineFitOptions,
  stage: string,
  own: TrainerOptions,
): Trainer {
  return new Trainer({
    ...own,
    ...(out !== undefined && { out: join(out, stage), resume, overwrite: !resume }),
    ...(signal && { signal }),
    ...(progress !== undefined && { progress }),
    handleSignals: false,
  })
}

// Codes begin at what the untrained encoder gives for some items: enough of them for k-means.
async function firstCodes(parts: PipelineParts, train: Dataset<Values>): Promise<void> {
  const { codec, towers, config } = parts
  if (codec.ready) return
  const [tower] = towers as [Tower]
  const { granularity, batchSize } = config.values
  const wanted = Math.min(mostSample, 32 * codec.quantizer.codebookSize)
  const order = random.permutation(train.length)
  const found: Float32Array[] = []
  let rows = 0
  // Batch normalisation has seen nothing yet: its statistics are the batch's.
  tower.encoder?.train()
  for (let first = 0; first < order.length && rows < wanted; first += batchSize) {
    const at = order.subarray(first, first + batchSize)
    const values = await train.batch(at)
    const extras = await train.extras?.(at)
    const embedded = tf.tidy(() => {
      const x = tf.tensor(
        values,
        [at.length, ...train.shape],
        values instanceof Int32Array ? 'int32' : 'float32',
      )
      const known = extras?.mask
      const mask =
        known && tower.modality === 'text' ? { mask: tf.tensor(known.values, [...known.shape], 'int32') } : {}
      return tower.embed({ x, ...mask }, granularity, config.normalize)
    })
    const z = embedded.dataSync<'float32'>().slice()
    embedded.dispose()
    const kept =
      extras?.mask !== undefined && granularity === 'position'
        ? keptRows(z, extras.mask.values, codec.dim)
        : z
    found.push(kept)
    rows += kept.length / codec.dim
  }
  const all = tf.tensor2d(joined(found, Float32Array), [rows, codec.dim])
  try {
    await codec.initialize(all)
  } finally {
    all.dispose()
  }
}

function keptRows(z: Float32Array, mask: ArrayLike<number>, dim: number): Float32Array {
  const kept = Array.from(mask).flatMap((on, i) => (on ? [i] : []))
  const out = new Float32Array(kept.length * dim)
  for (const [row, i] of kept.entries()) out.set(z.subarray(i * dim, (i + 1) * dim), row * dim)
  return out
}

async function trainCodec(
  parts: PipelineParts,
  store: EmbeddingStore,
  options: PipelineFitOptions,
): Promise<History> {
  const { codec, config } = parts
  const { training, batchSize } = config.values
  const order = random.permutation(store.length)
  const sample = await store.batch(order.subarray(0, Math.min(order.length, Math.min(mostSample, 32 * codec.quantizer.codebookSize)))) // biome-ignore format: one line
  const rows = tf.tensor2d(sample, [sample.length / codec.dim, codec.dim])
  try {
    codec.standardize(rows)
    await codec.initialize(rows)
  } finally {
    rows.dispose()
  }
  const loader = new DataLoader(store, {
    batchSize: Math.min(store.length, Math.max(batchSize, 1024)),
    seed: training.seed,
  })
  if (codec.namedParameters().length === 0)
    return await moveAverages(codec, loader, training.quantizerEpochs, options)
  return await trainerOf(options, 'quantizer-training', {
    ...lengthOf({ epochs: training.quantizerEpochs }, loader.stepsPerEpoch),
    learningRate: training.quantizerLearningRate,
    schedule: training.schedule,
    clipNorm: training.clipNorm,
    seed: training.seed,
  }).fit(new CodecModel(codec), loader)
}

// All rows, and again a little beside themselves, as often as k-means has clusters.
async function manyOf(store: EmbeddingStore, count: number): Promise<Float32Array> {
  const [dim] = store.shape as [number]
  const rows = await store.batch(Int32Array.from({ length: store.length }, (_, i) => i))
  const many = tf.tidy(() => enough(tf.tensor2d(rows, [store.length, dim]), count))
  const values = many.dataSync<'float32'>().slice()
  many.dispose()
  return values
}

// Codes that only averages move: there is no gradient to take, and a run that was stopped is soon made again.
async function moveAverages(
  codec: Codec,
  loader: DataLoader,
  epochs: number,
  { signal }: PipelineFitOptions,
): Promise<History> {
  const started = performance.now()
  codec.train()
  const metrics: History['metrics'] = []
  const summaries: History['epochs'] = []
  let step = 0
  for (let epoch = 0; epoch < epochs; epoch++) {
    let [loss, samples] = [0, 0]
    for await (const { values, shape } of loader) {
      if (signal?.aborted) throw new VqAbortError('VQPipeline.fit', signal.reason)
      const error = tf.tidy(() =>
        noGrad(() => codec.forward(tf.tensor(values, shape)).error.dataSync()[0] as number),
      )
      loss += error * (shape[0] as number)
      samples += shape[0] as number
      step++
    }
    const mean = loss / Math.max(1, samples)
    metrics.push({ step, epoch, split: 'train', loss: mean, error: mean })
    summaries.push({ epoch, step, train: { loss: mean, error: mean } })
  }
  const seconds = (performance.now() - started) / 1000
  return {
    steps: step,
    metrics,
    epochs: summaries,
    stoppedEarly: false,
    resumedFrom: 0,
    seconds,
    dataWait: 0,
  }
}

/** The embeddings of a source, one row each: in memory where they are few, else in a file that goes with the fit. */
class EmbeddingStore extends BaseDataset {
  readonly length: number
  readonly shape: readonly number[]
  private readonly dim: number
  private readonly file: FileHandle | undefined
  private readonly folder: string | undefined
  private readonly memory: ArrayDataset | undefined
  /** Items that could not be read. */
  readonly failed: number

  private constructor(
    dim: number,
    at: { rows: number; failed: number; memory?: Float32Array; file?: FileHandle; folder?: string },
  ) {
    super()
    this.dim = dim
    this.length = at.rows
    this.failed = at.failed
    this.shape = [dim]
    this.file = at.file
    this.folder = at.folder
    this.memory = at.memory && new ArrayDataset(at.memory, [dim])
  }

  static async fill(
    parts: PipelineParts,
    towers: readonly Tower[],
    source: Source,
    { signal }: PipelineFitOptions,
  ): Promise<EmbeddingStore> {
    const { dim } = parts.codec
    const failed: FailedItem[] = []
    const each = parts.positions.reduce((a, b) => a * b, 1)
    const order = sampleOrder(parts, source.length, each * towers.length)
    const small = (order?.length ?? source.length) * each * dim * 4 * towers.length <= 2 ** 28
    const folder = small ? undefined : await mkdtemp(join(tmpdir(), 'vq-embeddings-'))
    const file = folder === undefined ? undefined : await open(join(folder, 'rows.f32'), 'w+')
    const kept: Float32Array[] = []
    let rows = 0
    try {
      for (const tower of towers) {
        const from = tower.modality === source.modality ? source : captionsAsSource(source)
        for await (const block of embedSource(parts, tower, from, { signal, ...(order && { order }) })) {
          failed.push(...block.failed)
          const values = block.mask === undefined ? block.values : keptRows(block.values, block.mask, dim)
          rows += values.length / dim
          if (file === undefined) kept.push(values)
          // Unlike `write` until everything is written: what a full disk cuts off is an error.
          else await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
        }
      }
      if (rows === 0)
        throw new VqConfigError({
          operation: 'VQPipeline.fit',
          expected: 'at least one item that can be read',
          received: failed[0] === undefined ? 'none' : `${failed[0].id}: ${failed[0].reason}`,
          remedy: 'Check the data.',
        })
      return new EmbeddingStore(dim, {
        rows,
        failed: failed.length,
        ...(file === undefined ? { memory: joined(kept, Float32Array) } : { file }),
        ...(folder !== undefined && { folder }),
      })
    } catch (error) {
      await file?.close()
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  protected async read(indices: Int32Array): Promise<Float32Array> {
    if (this.memory !== undefined) return this.memory.batch(indices) as Float32Array
    const out = new Float32Array(indices.length * this.dim)
    const bytes = 4 * this.dim
    const { fd = -1 } = this.file ?? {}
    // Single rows come from the system's cache faster than a promise resolves.
    for (const [row, i] of indices.entries())
      readSync(fd, new Uint8Array(out.buffer, row * bytes, bytes), 0, bytes, i * bytes)
    return out
  }

  /** All rows in order. */
  async *blocks(signal: AbortSignal | undefined): AsyncGenerator<Float32Array> {
    const step = Math.max(1, Math.floor(2 ** 21 / (4 * this.dim)))
    for (let first = 0; first < this.length; first += step) {
      if (signal?.aborted) throw new VqAbortError('VQPipeline.fit', signal.reason)
      const n = Math.min(step, this.length - first)
      if (this.file === undefined) yield await this.read(Int32Array.from({ length: n }, (_, i) => first + i))
      else {
        const rows = new Float32Array(n * this.dim)
        await this.file.read(new Uint8Array(rows.buffer), 0, rows.byteLength, first * 4 * this.dim)
        yield rows
      }
    }
  }

  async close(): Promise<void> {
    await this.file?.close()
    if (this.folder !== undefined) await rm(this.folder, { recursive: true, force: true })
  }
}

// The items that k-means learns from, in their order; undefined for all.
function sampleOrder(parts: PipelineParts, items: number, rowsPerItem: number): Int32Array | undefined {
  if (parts.codec.kmeans === undefined) return undefined
  const { values } = parts.config
  const wanted = Math.ceil(sampleOf(values) / rowsPerItem)
  if (wanted >= items) return undefined
  // A generator of its own: a run that goes on draws the same.
  return new Random(values.training.seed).permutation(items).subarray(0, wanted).sort()
}

/** The captions of a source as texts. */
export function captionsAsSource({ captions, ids }: Source): Source {
  return memorySource(captions ?? [], { modality: 'text', ids: captions === undefined ? [] : ids })
}
