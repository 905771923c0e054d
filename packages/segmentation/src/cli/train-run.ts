// One run of squeeze or baseline: data, network, training, what is written.
import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { trainingCurves } from '@vq/models/plot'
import type { StepEvent, ValidationEvent } from '@vq/models/train'
import { type FeatureData, weightsDigest } from '../cache/features.js'
import { ClearMLTask } from '../clearml/clearml.js'
import type { MaskDataModule } from '../data/module.js'
import { type Evaluation, evaluateSegmentation, type Latency, latencyOf } from '../measure/index.js'
import { saveSegmentation } from '../model/checkpoint.js'
import type { QuantizerSettings } from '../quantizers/create.js'
import { fitSegmentation } from '../train/fit.js'
import { buildFrom, isFrozen } from './build.js'
import type { TrainFlags } from './flags.js'
import { openData } from './open-data.js'
import { summary } from './report.js'
import { claimFolder, expectFolder, runFolder } from './run-folder.js'

export interface RunResult {
  out: string
  /** Of the weights of the best evaluation, on the validation images. */
  evaluation: Evaluation
  /** Of the last weights, which nothing was chosen by. */
  last: Evaluation
  latency: Latency
  parameters: number
  /** Channels of the features. */
  featureDim: number
  epochs: number
  bestStep: number
  /** Of this call. */
  wallSeconds: number
  cpuSeconds: number
  /** What computing the features took, and how many epochs used them. */
  features?: { seconds: number; reused: boolean; bytes: number }
}

export interface RunOptions {
  quantizer: QuantizerSettings & { vqLossWeight: number }
  say: (line: string) => void
  signal?: AbortSignal
  /** Opened before, where several runs share them. */
  data?: MaskDataModule
}

export async function trainRun(flags: TrainFlags, options: RunOptions): Promise<RunResult> {
  const { quantizer, say, signal } = options
  const started = { wall: performance.now(), cpu: process.cpuUsage() }
  const out = runFolder(flags)
  expectUsed(flags)
  const frozen = isFrozen(flags)
  const data = options.data ?? (await openData(flags, say))
  const { model, config } = await buildFrom(flags, quantizer, data.classes, say)
  // A path says too little: its file may have been trained again.
  const claimed = { ...flags, quantizer, ...(frozen && { features: weightsDigest(model) }) } as TrainFlags
  await expectFolder(out, claimed, frozen)
  const task = flags.useClearml
    ? await ClearMLTask.connect({
        project: flags.projectName,
        task: flags.taskName ?? flags.experimentName,
        parameters: { ...flags, ...quantizer },
      })
    : undefined
  let features: readonly FeatureData[] = []
  try {
    await claimFolder(out, claimed)
    const fitted = await fitSegmentation(
      model,
      data,
      {
        ...{ epochs: flags.epochs, batchSize: flags.batchSize, learningRate: flags.lr, seed: flags.seed },
        ...{ weightDecay: flags.weightDecay, schedule: flags.schedule, warmupSteps: flags.warmupSteps },
        ...{ averageDecay: flags.averageDecay, out, copies: flags.copies, augment: {} },
        resume: flags.resume ?? false,
        overwrite: flags.overwrite ?? false,
        cache: flags.cacheDir ?? join(flags.outputDir, 'cache'),
      },
      { say, ...(signal && { signal }), ...(task && watchedBy(task)) },
    )
    features = fitted.features
    await saveSegmentation(join(out, 'last.safetensors'), model, config)
    const measured = {
      classes: data.classes,
      batchSize: flags.batchSize,
      fromFeatures: fitted.fromFeatures,
    }
    const last = await evaluateSegmentation(model, fitted.validation, measured)
    const bestStep = await fitted.useBest()
    await saveSegmentation(join(out, 'best.safetensors'), model, config)
    const evaluation = await evaluateSegmentation(model, fitted.validation, measured)
    const [train, validation] = fitted.features
    const cpu = process.cpuUsage(started.cpu)
    const result: RunResult = {
      ...{ out, evaluation, last, bestStep, epochs: flags.epochs },
      latency: latencyOf(model, flags.imageSize),
      parameters: model.parameterCount(),
      featureDim: model.backbone.featureDim,
      wallSeconds: (performance.now() - started.wall) / 1000,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      ...(train &&
        validation && {
          features: {
            seconds: train.seconds + validation.seconds,
            reused: train.reused && validation.reused,
            bytes: train.bytes + validation.bytes,
          },
        }),
    }
    await writeFileAtomic(join(out, 'results.json'), `${JSON.stringify(result, null, 2)}\n`)
    if (fitted.history.metrics.length > 0)
      await (await trainingCurves(fitted.history.metrics)).save(join(out, 'training_curves.png'))
    await task?.scalars(bestStep, 'validation, best', {
      meanIou: evaluation.meanIou,
      ...Object.fromEntries(evaluation.classes.map(c => [`IoU ${c.name}`, c.iou])),
    })
    await task?.finish('completed')
    say(summary(result))
    return result
  } catch (error) {
    const stopped = (error as Error).name === 'AbortError'
    await task?.finish(stopped ? 'stopped' : 'failed', (error as Error).message.slice(0, 500))
    throw error
  } finally {
    await Promise.all(features.map(file => file.close()))
    model.dispose()
  }
}

/** Refuses what would change nothing. */
function expectUsed(flags: TrainFlags): void {
  if (flags.copies > 1 && !isFrozen(flags))
    throw new VqConfigError({
      operation: '--copies',
      expected: 'a frozen backbone, whose features are kept',
      received: flags.weights === undefined ? 'no --weights' : '--train-backbone',
      remedy: 'Leave it out: every epoch sees other versions of the images.',
    })
}

function watchedBy(task: ClearMLTask): {
  onStep: (e: StepEvent) => Promise<void>
  onValidation: (e: ValidationEvent) => Promise<void>
} {
  return {
    onStep: async ({ step, scalars, learningRate }) => {
      if (step === 1 || step % 10 === 0) await task.scalars(step, 'train', { ...scalars, learningRate })
    },
    onValidation: ({ step, means }) => task.scalars(step, 'validation', means),
  }
}
