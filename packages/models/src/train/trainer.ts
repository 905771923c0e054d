import type { Values } from '../data/dataset.js'
import type { DataLoader } from '../data/loader.js'
import { Interrupts } from './interrupt.js'
import type { FitOptions, History, Trainable, TrainerOptions } from './options.js'
import { checkModelAndData, checkOptions, checkValidation, plan } from './plan.js'
import { reporter } from './progress.js'
import { TrainingRun } from './training-run.js'
import { WeightAverage } from './weight-average.js'

/**
 * The training loop: batches, accumulation, clipping, schedule, averaged weights, evaluation, early stopping, progress,
 * metrics, checkpoints.
 *
 * @example
 * const loader = new DataLoader(dataset, { batchSize: 64 })
 * const trainer = new Trainer({ epochs: 10, schedule: 'cosine', out: 'runs/digits' })
 * const history = await trainer.fit(new VQVAE(), loader, { validation })
 */
export class Trainer {
  readonly options: Readonly<TrainerOptions>

  /** Throws VqConfigError for an option that is out of its range or does not go with another. */
  constructor(options: TrainerOptions) {
    checkOptions(options)
    this.options = options
  }

  /**
   * Trains the model in place. With `out`, a run that was stopped anywhere and resumed ends with the same weights, bit
   * for bit, as one that was not.
   *
   * Throws NonFiniteError (a VqValueError) when a loss or a gradient stops being finite, with the parameters of the step
   * before: its `report` names the module where it begins, and checkpoints stay. Throws TrainingInterrupted (`name` is
   * AbortError), after a checkpoint, when the signal fires or the process is asked to end. Throws VqFormatError where
   * `out` cannot be written to, or all of its checkpoints are damaged.
   */
  async fit(model: Trainable, loader: DataLoader<Values>, options: FitOptions = {}): Promise<History> {
    const { progress = true, averageDecay, signal, handleSignals = signal === undefined } = this.options
    checkModelAndData(model, loader, options.validation)
    checkValidation(this.options, options, loader)
    const settled = plan(this.options, model, loader.stepsPerEpoch)
    const average = averageDecay === undefined ? undefined : new WeightAverage(model, averageDecay)
    const report = reporter(progress)
    const interrupts = new Interrupts(handleSignals)
    const training = { model, loader, optimizer: settled.optimizer, average, validation: options.validation }
    try {
      return await new TrainingRun(this.options, settled, training, report, interrupts).go()
    } finally {
      report.stop()
      interrupts.stop()
      settled.optimizer.dispose()
      average?.dispose()
    }
  }
}
