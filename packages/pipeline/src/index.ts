export * from './analysis/index.js'
export * from './report/index.js'
export {
  iterateSemanticIds,
  readSemanticIds,
  type SemanticId,
  type WriteSemanticIdsOptions,
  writeSemanticIds,
} from './semantic-ids/index.js'
