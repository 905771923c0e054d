export { PipelineConfig, type TowerConfig } from './pipeline-config.js'
export type {
  DecoderValues,
  Granularity,
  Objective,
  PipelineInput,
  PipelineValues,
  TokenizerValues,
  TowerValues,
  TrainingValues,
} from './values.js'
