import { VqConfigError } from '@vq/core'

export type Mode = 'min' | 'max'

/** Which metric of the validation data decides, and whether less or more of it is better. */
export interface MonitorOptions {
  /** Default 'loss'. */
  metric?: string
  /** Default 'min'. */
  mode?: Mode
}

export interface EarlyStoppingOptions extends MonitorOptions {
  /** How many evaluations in a row may bring no improvement. */
  patience: number
  /** What counts as one: better than the best by more than this. Default 0. */
  minDelta?: number
}

/** The best value so far, where it was reached, and how many evaluations came since; plain JSON. */
export interface BestRecord {
  step: number
  value: number
  since: number
}

/** Follows one metric from evaluation to evaluation. NaN is no improvement. */
export class Monitor {
  readonly metric: string
  readonly mode: Mode
  private readonly minDelta: number
  record: BestRecord | undefined

  constructor({ metric = 'loss', mode = 'min' }: MonitorOptions, minDelta = 0) {
    this.metric = metric
    this.mode = mode
    this.minDelta = minDelta
  }

  /** Whether this is the best so far. */
  add(step: number, means: Readonly<Record<string, number>>): boolean {
    const value = means[this.metric]
    if (value === undefined)
      throw new VqConfigError({
        operation: 'Trainer.fit',
        expected: `a metric among ${Object.keys(means).join(', ')}`,
        received: this.metric,
        remedy: "Name a scalar that the model's forward gives.",
      })
    const { record } = this
    if (Number.isFinite(value) && (record === undefined || this.better(value, record.value))) {
      this.record = { step, value, since: 0 }
      return true
    }
    if (record !== undefined) this.record = { ...record, since: record.since + 1 }
    return false
  }

  private better(value: number, than: number): boolean {
    return this.mode === 'min' ? value < than - this.minDelta : value > than + this.minDelta
  }
}
