export type { Architecture, ArchitectureOptions, VQVAEOptions } from './options.js'
export { PreActivationBlock, ResidualBlock } from './residual-block.js'
export { type IgptOptions, VQVAE, type VQVAEOutput } from './vqvae.js'
