import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { random, tf, VqAbortError, VqConfigError } from '@vq/core'
import { trainStep } from '@vq/core/optim'
import type { Values } from '../data/dataset.js'
import type { Batch, DataLoader } from '../data/loader.js'
import { listCheckpoints, loadNewest, repairCheckpoints, saveCheckpoint } from './checkpoint.js'
import { evaluateModel } from './evaluate.js'
import { MetricsLog } from './metrics-log.js'
import {
  checkOptions,
  type FitOptions,
  type History,
  type Plan,
  plan,
  type Trainable,
  type TrainerOptions,
} from './options.js'
import { type Reporter, reporter } from './progress.js'
import { inputsOf } from './tensors.js'

// Longest time in milliseconds between two turns of the event loop.
const turn = 20

/**
 * The training loop: batches, clipping, schedule, progress, metrics, checkpoints.
 *
 * @example
 * const loader = new DataLoader(dataset, { batchSize: 64 })
 * await new Trainer({ epochs: 10, out: 'runs/digits' }).fit(new VQVAE(), loader)
 */
export class Trainer {
  readonly options: Readonly<TrainerOptions>

  constructor(options: TrainerOptions) {
    checkOptions(options)
    this.options = options
  }

  /**
   * Trains the model in place. With `out`, a run that was stopped anywhere and resumed ends with the same weights, bit
   * for bit, as one that was not. Throws VqValueError when the loss stops being finite (the checkpoints stay) and an
   * AbortError, after a checkpoint, when the signal fires.
   */
  async fit(model: Trainable, loader: DataLoader<Values>, { validation }: FitOptions = {}): Promise<History> {
    const run = plan(this.options, model, loader.stepsPerEpoch)
    const report = reporter(this.options.progress ?? true)
    try {
      return await this.run(model, loader, validation, run, report)
    } finally {
      report.stop()
      run.optimizer.dispose()
    }
  }

  private async run(
    model: Trainable,
    loader: DataLoader<Values>,
    validation: DataLoader<Values> | undefined,
    { totalSteps, schedule, optimizer }: Plan,
    report: Reporter,
  ): Promise<History> {
    const { out, clipNorm = 1, logEvery = 10, keep = 2, signal } = this.options
    const log = new MetricsLog(out === undefined ? undefined : join(out, 'metrics.jsonl'))
    const training = { model, optimizer, loader }
    const checkpoints = out === undefined ? undefined : join(out, 'checkpoints')
    let saved = await this.begin(checkpoints, training, log)
    if (saved === 0 && this.options.seed !== undefined) random.seed(this.options.seed)
    const save = async (step: number): Promise<void> => {
      if (checkpoints !== undefined && step !== saved) await saveCheckpoint(checkpoints, step, training, keep)
      saved = step
    }
    model.train()
    if (saved === 0 && model.prepare !== undefined) await prepare(model, await loader.peek())
    const pace = new Pace(saved)
    for (let step = saved + 1; step <= totalSteps; step++) {
      if (signal?.aborted) return await this.abort(step - 1, save)
      const batch = await loader.next(totalSteps - step)
      const learningRate = schedule(step)
      const inputs = inputsOf(batch)
      try {
        const { loss, gradientNorm, scalars } = trainStep(optimizer, () => model.forward(...inputs), {
          learningRate,
          ...(clipNorm === null ? {} : { clipNorm }),
        })
        pace.add(batch.shape[0])
        report.report({ step, totalSteps, epoch: batch.epoch, loss, ...pace.estimate(step, totalSteps) })
        if (step % logEvery === 0 || step === totalSteps) {
          const norm = gradientNorm === null ? {} : { gradientNorm }
          const speed = { learningRate, ...norm, imagesPerSecond: pace.imagesPerSecond }
          await log.add({ step, epoch: batch.epoch, split: 'train', ...scalars, loss, ...speed })
        }
      } finally {
        tf.dispose(inputs as never)
      }
      if (validation !== undefined && (batch.last || step === totalSteps)) {
        const means = await evaluateModel(model, validation)
        await log.add({ step, epoch: batch.epoch, split: 'validation', loss: means.loss, ...means })
      }
      if (this.due(step, batch, totalSteps)) await save(step)
      await pace.breathe()
    }
    return { steps: Math.max(saved, totalSteps), metrics: log.lines }
  }

  private due(step: number, batch: Batch<Values>, totalSteps: number): boolean {
    const { checkpointEvery } = this.options
    return step === totalSteps || (checkpointEvery === undefined ? batch.last : step % checkpointEvery === 0)
  }

  // The step to go on from.
  private async begin(
    checkpoints: string | undefined,
    training: { model: Trainable; optimizer: Plan['optimizer']; loader: DataLoader<Values> },
    log: MetricsLog,
  ): Promise<number> {
    const { resume = false, overwrite = false } = this.options
    if (checkpoints === undefined) return 0
    await repairCheckpoints(checkpoints)
    if (!resume && (await listCheckpoints(checkpoints)).length > 0) {
      if (!overwrite)
        throw new VqConfigError({
          operation: 'Trainer.fit',
          expected: 'a folder `out` without checkpoints',
          received: checkpoints,
          remedy: 'Pass resume: true to go on, overwrite: true to start over, or another folder.',
        })
      await rm(checkpoints, { recursive: true })
    }
    const step = resume ? await loadNewest(checkpoints, training) : 0
    await log.cutBack(step)
    return step
  }

  private async abort(step: number, save: (step: number) => Promise<void>): Promise<never> {
    await save(step)
    const { out, signal } = this.options
    throw new VqAbortError(
      'Trainer.fit',
      signal?.reason,
      out === undefined
        ? `The model holds the weights of step ${step}.`
        : `Step ${step} is saved in ${out}; pass resume: true to go on from it.`,
    )
  }
}

async function prepare(model: Trainable, batch: Batch<Values>): Promise<void> {
  const inputs = inputsOf(batch)
  try {
    await model.prepare?.(...inputs)
  } finally {
    tf.dispose(inputs as never)
  }
}

// Speed, time left, and turns of the event loop.
class Pace {
  private readonly start = performance.now()
  private readonly firstStep: number
  private lastTurn: number = performance.now()
  private images = 0

  constructor(firstStep: number) {
    this.firstStep = firstStep
  }

  add(images: number): void {
    this.images += images
  }

  private get seconds(): number {
    return (performance.now() - this.start) / 1000
  }

  get imagesPerSecond(): number {
    return this.images / this.seconds
  }

  estimate(step: number, totalSteps: number): { imagesPerSecond: number; secondsLeft: number } {
    const perStep = this.seconds / (step - this.firstStep)
    return { imagesPerSecond: this.imagesPerSecond, secondsLeft: perStep * (totalSteps - step) }
  }

  async breathe(): Promise<void> {
    if (performance.now() - this.lastTurn < turn) return
    await new Promise(resolve => setImmediate(resolve))
    this.lastTurn = performance.now()
  }
}
