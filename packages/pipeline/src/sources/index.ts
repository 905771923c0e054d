export { openSource } from './open.js'
export type { FailedItem, Modality, ReadResult, SkippedItem, Source, SourceOptions } from './source.js'
