export type { ImplicitCodebookOptions, ResidualVQOptions } from './options.js'
export { ResidualVQ } from './residual-vq.js'
