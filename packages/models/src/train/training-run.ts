import { random, type tf } from '@vq/core'
import type { Module } from '@vq/core/nn'
import type { Values } from '../data/dataset.js'
import type { Batch, DataLoader } from '../data/loader.js'
import { bestIn } from './checkpoint/folder.js'
import { loadWeights } from './checkpoint/load.js'
import { EpochMeans } from './epoch-means.js'
import { evaluateModel } from './evaluate.js'
import { expectFinite, expectFiniteParameters } from './finite-weights.js'
import { type Interrupts, TrainingInterrupted } from './interrupt.js'
import { MetricsLog } from './metrics-log.js'
import type { BestRecord } from './monitor.js'
import { drawsOf, NonFiniteError, setDraws } from './non-finite.js'
import type { EpochSummary, History, Trainable, TrainerOptions } from './options.js'
import { Pace } from './pace.js'
import type { Plan } from './plan.js'
import type { Reporter } from './progress.js'
import { RunFolder } from './run-folder.js'
import { type Step, takeStep } from './take-step.js'
import { disposeInputs, inputsOf } from './tensors.js'
import { firstBroken } from './trace.js'
import type { WeightAverage } from './weight-average.js'

export interface Training {
  model: Trainable
  loader: DataLoader<Values>
  optimizer: Plan['optimizer']
  average: WeightAverage | undefined
  validation: DataLoader<Values> | undefined
}

/** What a checkpoint keeps of a run beside the training state. */
interface Kept {
  best?: BestRecord | undefined
  stopping?: BestRecord | undefined
  epochs: EpochSummary[]
  means: EpochMeans['state']
}

/** One call of `fit`, from its first step to its last. */
export class TrainingRun {
  private readonly options: Readonly<TrainerOptions>
  private readonly plan: Plan
  private readonly training: Training
  private readonly report: Reporter
  private readonly interrupts: Interrupts
  private readonly log: MetricsLog
  private readonly folder: RunFolder
  private readonly names: ReadonlyMap<tf.Variable, string>
  // Modules with generators of their own.
  private readonly drawing: Module[]
  private readonly means = new EpochMeans()
  private epochs: EpochSummary[] = []

  constructor(
    options: Readonly<TrainerOptions>,
    plan: Plan,
    training: Training,
    report: Reporter,
    interrupts: Interrupts,
  ) {
    this.options = options
    this.plan = plan
    this.training = training
    this.report = report
    this.interrupts = interrupts
    this.log = new MetricsLog(options.out, options.tensorboard ?? true)
    this.folder = new RunFolder(options, training, this.log)
    const { model } = training
    this.names = new Map(model.namedParameters().map(p => [p.variable, p.name]))
    this.drawing = model.namedModules().flatMap(([, m]) => (m.extraState() === undefined ? [] : [m]))
  }

  async go(): Promise<History> {
    const { totalSteps, monitor } = this.plan
    const { model, loader } = this.training
    const from = await this.begin()
    model.train()
    if (from === 0 && model.prepare !== undefined) await prepare(model, await loader.peek())
    const pace = new Pace(from)
    let step = from
    while (step < totalSteps && !this.stoppedEarly) {
      await this.expectUninterrupted(step)
      const done = await this.step(step + 1, pace)
      step = done.step
      await this.after(done, pace)
      await pace.breathe()
    }
    await this.finish(step)
    const { record } = monitor
    return {
      steps: step,
      metrics: this.log.lines,
      epochs: this.epochs,
      ...(record === undefined ? {} : { best: { step: record.step, value: record.value } }),
      stoppedEarly: this.stoppedEarly,
      resumedFrom: from,
      seconds: pace.seconds,
      dataWait: pace.dataWait,
    }
  }

  // The step to go on from.
  private async begin(): Promise<number> {
    const state = await this.folder.open()
    if (state === undefined) {
      if (this.options.seed !== undefined) random.seed(this.options.seed)
      return 0
    }
    const kept = state.more as Kept | undefined
    if (kept !== undefined) {
      this.plan.monitor.record = kept.best
      if (this.plan.stopping !== undefined) this.plan.stopping.monitor.record = kept.stopping
      this.epochs = kept.epochs
      this.means.state = kept.means
    }
    return state.step
  }

  private get kept(): Kept {
    const { monitor, stopping } = this.plan
    return {
      best: monitor.record,
      stopping: stopping?.monitor.record,
      epochs: this.epochs,
      means: this.means.state,
    }
  }

  private get stoppedEarly(): boolean {
    const { stopping } = this.plan
    return stopping !== undefined && (stopping.monitor.record?.since ?? 0) >= stopping.patience
  }

  // One step of the optimizer; statistics that a failed forward broke are set back to the checkpoint.
  private async step(step: number, pace: Pace): Promise<Step> {
    const { model } = this.training
    try {
      const done = await takeStep(step, {
        ...this.training,
        ...this.plan,
        options: this.options,
        names: this.names,
        drawing: this.drawing,
        pace,
      })
      return { ...done, ...this.placeOf(done) }
    } catch (error) {
      if (error instanceof NonFiniteError && firstBroken(model.namedBuffers()) !== undefined)
        await this.folder.load().catch(() => undefined)
      throw error
    }
  }

  // The epoch of a step, and whether it ends with it: the data's own, unless these are parts of a pass.
  private placeOf({ step, epoch, last }: Step): Pick<Step, 'epoch' | 'last'> {
    if ((this.options.epochsPerPass ?? 1) === 1) return { epoch, last }
    const { stepsPerEpoch, totalSteps } = this.plan
    // Rounding may lead past the end of the last one.
    const at = (steps: number): number => Math.floor(steps / stepsPerEpoch + 1e-9)
    return { epoch: at(step - 1), last: at(step) > at(step - 1) || step === totalSteps }
  }

  // What follows a step: progress, metrics, evaluation, checkpoints, callbacks.
  private async after(done: Step, pace: Pace): Promise<void> {
    const { logEvery = 10, onStep, onEpoch } = this.options
    const { totalSteps, stepsPerEpoch } = this.plan
    const totalEpochs = Math.ceil(totalSteps / stepsPerEpoch - 1e-9)
    const { model, validation } = this.training
    const { step, epoch, learningRate, gradientNorm, scalars, last } = done
    const { loss } = scalars
    const estimate = pace.estimate(step, totalSteps)
    this.report.report({ step, totalSteps, epoch, totalEpochs, loss, ...estimate })
    this.means.add(scalars, done.samples)
    if (step % logEvery === 0 || step === totalSteps) {
      const speed = { imagesPerSecond: estimate.imagesPerSecond, dataWait: pace.takeDataWait() }
      await this.log.add({
        step,
        epoch,
        split: 'train',
        ...scalars,
        loss,
        learningRate,
        gradientNorm,
        ...speed,
      })
    }
    await onStep?.({ model, step, totalSteps, epoch, learningRate, gradientNorm, scalars })
    const means =
      validation !== undefined && this.validates(done) ? await this.validate(done, validation) : undefined
    if (last) {
      const summary = { epoch, step, train: this.means.take(), ...(means && { validation: means }) }
      this.epochs.push(summary)
      await onEpoch?.({ model, ...summary })
    }
    if (this.checkpoints(done)) await this.folder.save(step, this.kept, expectFinite(done))
    // A callback may have left it otherwise.
    if (!model.training) model.train()
  }

  private validates({ step, last }: Step): boolean {
    const { validateEvery } = this.options
    return step === this.plan.totalSteps || (validateEvery === undefined ? last : step % validateEvery === 0)
  }

  private checkpoints({ step, last }: Step): boolean {
    const { checkpointEvery } = this.options
    const due = checkpointEvery === undefined ? last : step % checkpointEvery === 0
    return due || this.stoppedEarly || step === this.plan.totalSteps
  }

  private async validate(done: Step, validation: DataLoader<Values>): Promise<Record<string, number>> {
    const { step, epoch } = done
    const { model, average } = this.training
    const { monitor, stopping } = this.plan
    // What it draws leaves training as it is.
    const draws = drawsOf(this.drawing)
    const evaluate = (): Promise<Record<string, number>> => evaluateModel(model, validation)
    const means = average === undefined ? await evaluate() : await average.during(evaluate)
    setDraws(draws)
    await this.log.add({ step, epoch, split: 'validation', loss: means.loss, ...means })
    const best = monitor.add(step, means)
    stopping?.monitor.add(step, means)
    if (best) await this.folder.saveBest(step, { best: monitor.record }, expectFinite(done))
    await this.options.onValidation?.({ model, step, epoch, means, best })
    return means
  }

  private async expectUninterrupted(step: number): Promise<void> {
    const { signal, out } = this.options
    const { received } = this.interrupts
    if (received === undefined && !signal?.aborted) return
    const at = { step, epoch: this.epochs.length, learningRate: this.plan.schedule(Math.max(1, step)) }
    await this.folder.save(step, this.kept, expectFinite(at))
    throw new TrainingInterrupted(
      step,
      received,
      received ?? signal?.reason,
      out === undefined || step === 0
        ? `The model holds the weights of step ${step}.`
        : `Step ${step} is saved in ${out}; pass resume: true to go on from it.`,
    )
  }

  private async finish(step: number): Promise<void> {
    const { finalWeights = 'last', out } = this.options
    const { model, average } = this.training
    const at = { step, epoch: this.epochs.length, learningRate: this.plan.schedule(step) }
    expectFiniteParameters(model, at)
    if (finalWeights === 'average') average?.apply()
    if (finalWeights === 'best' && out !== undefined) await loadWeights(bestIn(out), model)
  }
}

async function prepare(model: Trainable, batch: Batch<Values>): Promise<void> {
  const inputs = inputsOf(batch)
  try {
    await model.prepare?.(...inputs)
  } finally {
    disposeInputs(inputs)
  }
}
