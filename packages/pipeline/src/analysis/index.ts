export {
  type AnalyzeOptions,
  analysisFigures,
  analyzeIds,
  type IdAnalysis,
  type LevelFigures,
} from './analyze.js'
export type { LevelPair } from './dependence.js'
export type { Fidelity } from './fidelity.js'
export type { Agreement, LabelFigures, NeighborAccuracy } from './labelled.js'
export { type IdNeighbor, neighborsById } from './neighbors.js'
export type { PrefixTree, TreeDepth } from './prefix-tree.js'
export { type CrossModalRecall, crossModalRecall, type RecallAt, type RecallOptions } from './recall.js'
export type { IdTable, ItemVectors } from './table.js'
export type { WholeIds } from './whole-ids.js'
