export { CodeIndex, type CodeNeighbour } from './code-index.js'
export { Disambiguator, disambiguate } from './disambiguate.js'
export {
  iterateSemanticIds,
  readSemanticIdInfo,
  readSemanticIds,
  type WriteSemanticIdsOptions,
  writeSemanticIds,
} from './files.js'
export { type IdWriter, type IdWriterOptions, openIdWriter } from './id-writer.js'
export type { SemanticId, SemanticIdFormat, SemanticIdInfo, StoredSemanticId } from './record.js'
