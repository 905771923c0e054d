export type { ArtifactInfo } from './artifact.js'
export type { FitReport, PipelineFitOptions } from './fit.js'
export {
  type DecodedItems,
  type EncodedBlock,
  type EncodeSourceOptions,
  type PipelineInputs,
  type SemanticCodes,
  type SemanticUsage,
  VQPipeline,
} from './pipeline.js'
