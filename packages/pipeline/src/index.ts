export * from './config/index.js'
export * from './pipeline/index.js'
export {
  iterateSemanticIds,
  readSemanticIds,
  type SemanticId,
  type WriteSemanticIdsOptions,
  writeSemanticIds,
} from './semantic-ids/index.js'
export {
  type FailedItem,
  type Modality,
  openSource,
  type ReadResult,
  type SkippedItem,
  type Source,
  type SourceOptions,
} from './sources/index.js'
export { memorySource } from './sources/memory.js'
