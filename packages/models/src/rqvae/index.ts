export type { LevelAnalysis, LevelQuality } from './levels.js'
export type { RQVAEOptions } from './options.js'
export { RQVAE, type RQVAEOutput } from './rqvae.js'
