export { LFQ } from './lfq.js'
export type { LFQOptions, LFQSettings } from './options.js'
export { ResidualLFQ, type ResidualLFQOptions } from './residual-lfq.js'
