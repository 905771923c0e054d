export { type CodebookUsageOptions, codebookUsage } from './codebook-usage.js'
export type { Figure } from './figure.js'
export { type ReconstructionGridOptions, reconstructionGrid } from './reconstruction-grid.js'
export { type TrainingCurvesOptions, type TrainingPoint, trainingCurves } from './training-curves.js'
