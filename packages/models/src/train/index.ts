export {
  listCheckpoints,
  loadNewest,
  repairCheckpoints,
  saveCheckpoint,
  type TrainingState,
} from './checkpoint.js'
export { evaluateModel } from './evaluate.js'
export type { FitOptions, History, Metrics, ProgressEvent, Trainable, TrainerOptions } from './options.js'
export { Trainer } from './trainer.js'
