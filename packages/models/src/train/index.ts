export { listCheckpoints } from './checkpoint/folder.js'
export { type LoadWeightsOptions, loadBest, loadWeights } from './checkpoint/load.js'
export { evaluateModel } from './evaluate.js'
export { EventFile } from './events/event-file.js'
export { type Interruption, interruptible, type Signal, TrainingInterrupted } from './interrupt.js'
export type { EarlyStoppingOptions, Mode, MonitorOptions } from './monitor.js'
export { NonFiniteError, type NonFiniteReport } from './non-finite.js'
export type {
  EpochEvent,
  EpochSummary,
  FitOptions,
  History,
  Metrics,
  ProgressEvent,
  StepEvent,
  Trainable,
  TrainerOptions,
  ValidationEvent,
} from './options.js'
export type { BrokenModule, BrokenSample } from './trace.js'
export { Trainer } from './trainer.js'
export { WeightAverage } from './weight-average.js'
