export * from './analysis/index.js'
export * from './config/index.js'
export * from './pipeline/index.js'
export * from './report/index.js'
export {
  CodeIndex,
  type CodeNeighbour,
  Disambiguator,
  disambiguate,
  type IdWriter,
  type IdWriterOptions,
  iterateSemanticIds,
  openIdWriter,
  readSemanticIdInfo,
  readSemanticIds,
  type SemanticId,
  type SemanticIdFormat,
  type SemanticIdInfo,
  type StoredSemanticId,
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
