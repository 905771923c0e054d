export { type Animation, animation } from './animation.js'
export { type CodeMapsOptions, codeMaps } from './code-maps.js'
export {
  type CodebookEvolutionOptions,
  type CodebookSnapshot,
  codebookEvolution,
} from './codebook-evolution.js'
export { type CodebookUsageOptions, codebookUsage } from './codebook-usage.js'
export {
  type ConvergenceOptions,
  convergence,
  type Run,
  type SensitivityOptions,
  type SensitivityPoint,
  sensitivity,
} from './comparisons.js'
export type { Figure } from './figure.js'
export { type ImageGridOptions, type ImageRow, imageGrid } from './image-grid.js'
export {
  type InterpolationGridOptions,
  interpolationGrid,
  type LatentGridOptions,
  type SampleGridOptions,
  sampleGrid,
  type TraversalGridOptions,
  traversalGrid,
} from './latent-grids.js'
export {
  type ReconstructionGridOptions,
  type ResidualStagesOptions,
  reconstructionGrid,
  residualStages,
} from './reconstruction-grid.js'
export {
  type CodebookProjectionOptions,
  codebookProjection,
  type LatentScatterOptions,
  latentScatter,
} from './scatter.js'
export {
  type MetricsLine,
  type TrainingCurvesOptions,
  type TrainingPoint,
  trainingCurves,
} from './training-curves.js'
export { type VoronoiOptions, voronoiRegions } from './voronoi.js'
