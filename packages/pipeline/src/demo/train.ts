import { random } from '@vq/core'
import { VQVAE } from '@vq/models'
import { DataLoader } from '@vq/models/data'
import { Trainer } from '@vq/models/train'
import type { DemoData } from './data.js'
import type { DemoSettings } from './settings.js'

/**
 * Trains the model of the demo into `folder`, which becomes the artifact. With `resume` it goes on from the newest
 * checkpoint there.
 */
export async function trainDemo(
  settings: DemoSettings,
  { training, heldOut }: DemoData,
  options: { folder: string; resume: boolean; signal: AbortSignal },
): Promise<VQVAE> {
  const { codes, steps, batch, seed } = settings
  const { folder, resume, signal } = options
  random.seed(seed)
  const model = new VQVAE({ ...architecture, numEmbeddings: codes })
  const loader = new DataLoader(training, { batchSize: Math.min(batch, training.length), seed })
  const trainer = new Trainer({
    steps,
    ...recipe,
    warmupSteps: Math.min(100, Math.ceil(steps / 20)),
    out: folder,
    resume,
    overwrite: !resume,
    checkpointEvery: 500,
    signal,
  })
  await trainer.fit(model, loader, {
    validation: new DataLoader(heldOut, { batchSize: 100, shuffle: false }),
  })
  model.eval()
  await model.save(folder)
  return model
}

const architecture = {
  architecture: 'igpt',
  hiddenDims: [64],
  embeddingDim: 64,
  numResidualLayers: 4,
  codebookUpdate: 'ema',
  commitmentCost: 0.1,
  decay: 0.98,
  initCodebook: 'kmeans',
  deadCodeThreshold: 0.25,
  revivalInterval: 25,
} as const

const recipe = { learningRate: 2e-3, schedule: 'cosine' } as const
