export { IGPT, IGPTCache, type IGPTOutput, part } from './igpt.js'
export type { IGPTOptions } from './options.js'
