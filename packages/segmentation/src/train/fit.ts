// Training of the head and the quantizer behind features that were computed once, or of everything from scratch.
import { expectConfig, tf } from '@vq/core'
import { expectOptions, type Module } from '@vq/core/nn'
import { AdamW } from '@vq/core/optim'
import { DataLoader, type Dataset } from '@vq/models/data'
import { type History, loadBest, Trainer, type TrainerOptions } from '@vq/models/train'
import { type FeatureData, featureData, sampleVectors } from '../cache/features.js'
import { type AugmentMaskedOptions, augmentMasked } from '../data/augment.js'
import { BaseDataModule } from '../data/module.js'
import { FeatureStage } from '../model/feature-stage.js'
import { expectModel, type SqueezeModule } from '../model/squeeze-module.js'

export interface FitSettings {
  epochs: number
  batchSize: number
  learningRate: number
  weightDecay: number
  schedule: 'constant' | 'cosine'
  warmupSteps: number
  averageDecay?: number | undefined
  seed: number
  /** Folder of the run. */
  out: string
  resume: boolean
  overwrite: boolean
  /** Folder of the files of features. */
  cache: string
  /** Versions of each training image whose features are kept, the first as it is. */
  copies: number
  augment: Omit<AugmentMaskedOptions, 'copies' | 'keepFirst' | 'size'>
}

type Callbacks = Pick<TrainerOptions, 'onStep' | 'onValidation' | 'progress' | 'signal' | 'onWarning'>

export interface Fitted {
  history: History
  /** Held-out data for evaluation: features where the backbone is frozen, else images. */
  validation: Dataset
  fromFeatures: boolean
  /** Features of training, then of validation, where the backbone is frozen. */
  features: FeatureData[]
  /** Sets the network to the weights of its best evaluation; the step. */
  useBest(): Promise<number>
}

/** At most so many feature vectors start a codebook. */
export const mostStartVectors = 50_000
const vectorsPerCode = 8

export async function fitSegmentation(
  model: SqueezeModule,
  data: BaseDataModule,
  settings: FitSettings,
  callbacks: Callbacks & { say?: (line: string) => void } = {},
): Promise<Fitted> {
  expectModel('fitSegmentation', model)
  expectConfig(
    data instanceof BaseDataModule,
    'fitSegmentation',
    'a BaseDataModule',
    data,
    'Pass new OxfordPetDataModule({ dataPath }) or another.',
  )
  expectOptions('fitSegmentation', settings, "{ epochs: 10, batchSize: 4, out: 'outputs/run', … }")
  const { say = () => {}, ...watched } = callbacks
  return model.frozenBackbone
    ? fitFrozen(model, data, settings, watched, say)
    : fitWhole(model, data, settings, watched)
}

async function fitFrozen(
  model: SqueezeModule,
  data: BaseDataModule,
  settings: FitSettings,
  callbacks: Callbacks,
  say: (line: string) => void,
): Promise<Fitted> {
  const { cache: folder, batchSize, seed, epochs, copies, augment } = settings
  const stop = callbacks.signal ? { signal: callbacks.signal } : {}
  const onProgress = told(say)
  const train = await featureData(model, data.dataset('train'), {
    ...{ folder, batchSize, copies, onProgress, ...stop },
    augment: { ...augment, seed },
  })
  const features = [train]
  try {
    const validation = await featureData(model, data.dataset('val'), {
      ...{ folder, batchSize, onProgress, ...stop },
    })
    features.push(validation)
    say(savings(features, epochs))
    const stage = new FeatureStage(model, await sampleVectors(train.data, mostStartVectors))
    const loader = trainLoader(train.data, batchSize, seed)
    const history = await new Trainer({ ...shared(settings), ...callbacks, epochs }).fit(stage, loader, {
      validation: new DataLoader(validation.data, { batchSize, shuffle: false }),
    })
    return {
      history,
      validation: validation.data,
      fromFeatures: true,
      features,
      useBest: () => loadBest(settings.out, stage),
    }
  } catch (error) {
    await Promise.all(features.map(file => file.close()))
    throw error
  }
}

async function fitWhole(
  model: SqueezeModule,
  data: BaseDataModule,
  settings: FitSettings,
  callbacks: Callbacks,
): Promise<Fitted> {
  const { batchSize, seed, epochs, augment } = settings
  const images = data.dataset('train')
  // One version of each image per epoch, in an order over all: every version is seen once.
  const all = augmentMasked(images, { ...augment, copies: epochs, seed })
  model.startVectors = () => startVectors(model, images)
  const loader = trainLoader(all, batchSize, seed)
  const steps = loader.stepsPerEpoch
  const trainer = new Trainer({
    ...shared(settings),
    ...callbacks,
    epochs,
    epochsPerPass: epochs,
    validateEvery: Math.max(1, Math.floor(steps / epochs)),
    checkpointEvery: Math.max(1, Math.floor((5 * steps) / epochs)),
  })
  const validation = data.dataset('val')
  const history = await trainer.fit(model, loader, {
    validation: new DataLoader(validation, { batchSize, shuffle: false }),
  })
  return {
    history,
    validation,
    fromFeatures: false,
    features: [],
    useBest: () => loadBest(settings.out, model),
  }
}

/** Features of so many images, evenly spread, that there are some for each code. */
async function startVectors(model: SqueezeModule, images: Dataset): Promise<Float32Array> {
  const featuresOf = async (indices: Int32Array): Promise<tf.Tensor4D> => {
    const batch = await images.batch(indices)
    return tf.tidy(() => model.features(tf.tensor(batch, [indices.length, ...images.shape])))
  }
  const first = await featuresOf(Int32Array.of(0))
  const shape = first.shape.slice(1)
  first.dispose()
  const places = shape[0]! * shape[1]!
  const wanted = Math.max(64, Math.ceil((vectorsPerCode * (model.quantizer?.codebookSize ?? 0)) / places))
  const count = Math.min(images.length, wanted)
  const data: Dataset = {
    length: count,
    shape,
    batch: async indices => {
      const features = await featuresOf(indices.map(i => Math.floor((i * images.length) / count)))
      const values = features.dataSync<'float32'>().slice()
      features.dispose()
      return values
    },
  }
  return sampleVectors(data, mostStartVectors)
}

function trainLoader(data: Dataset, batchSize: number, seed: number): DataLoader {
  return new DataLoader(data, { batchSize, seed, dropLast: data.length >= batchSize })
}

function shared(settings: FitSettings): TrainerOptions {
  const { learningRate, weightDecay, schedule, warmupSteps, averageDecay, seed } = settings
  const { out, resume, overwrite } = settings
  return {
    ...{ learningRate, schedule, warmupSteps, seed, out, resume, overwrite },
    optimizer: (module: Module, rate: number) => new AdamW(module, { learningRate: rate, weightDecay }),
    monitor: { metric: 'meanIou', mode: 'max' },
    ...(averageDecay !== undefined && { averageDecay, finalWeights: 'average' as const }),
  }
}

const secondsBetweenLines = 10

/** Says every ten seconds how far the features are. */
function told(say: (line: string) => void): (done: number, total: number) => void {
  let begun = performance.now()
  let last = begun
  return (done, total) => {
    const now = performance.now()
    if (now - last >= secondsBetweenLines * 1000) {
      last = now
      const left = Math.round(((now - begun) / 1000 / done) * (total - done))
      say(`features of ${done}/${total} images, ${left} s left`)
    }
    // The next ones are of other images.
    if (done === total) begun = last = now
  }
}

function savings(files: readonly FeatureData[], epochs: number): string {
  const items = files.reduce((n, f) => n + f.features.length, 0)
  const megabytes = files.reduce((n, f) => n + f.bytes, 0) / 2 ** 20
  const seconds = files.reduce((n, f) => n + f.seconds, 0)
  const paid = files.reduce((n, f) => n + (f.reused ? 0 : f.seconds), 0)
  const saved = seconds * epochs - paid
  return (
    `Features of ${items.toLocaleString('en-US')} images (${megabytes.toFixed(1)} MiB): the backbone ran for ${paid.toFixed(1)} s` +
    `${paid < seconds ? ' (the rest was there)' : ''}; ${epochs} epochs without them would take ${saved.toFixed(1)} s more`
  )
}
