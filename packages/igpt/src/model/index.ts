export { IGPTCache } from './cache.js'
export { IGPT, type IGPTOutput, part } from './igpt.js'
export type { IGPTOptions } from './options.js'
