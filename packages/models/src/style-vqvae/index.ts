export type { StyleVQVAEArchitecture, StyleVQVAEOptions } from './options.js'
export { type StyleCodes, StyleVQVAE, type StyleVQVAEOutput } from './style-vqvae.js'
