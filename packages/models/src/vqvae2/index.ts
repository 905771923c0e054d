export type { VQVAE2Architecture, VQVAE2Options } from './options.js'
export { type TwoLevels, VQVAE2, type VQVAE2Output } from './vqvae2.js'
