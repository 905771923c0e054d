export type { VAEArchitecture, VAEOptions } from './options.js'
export type {
  DrawOptions,
  Elbo,
  Posterior,
  TraversalOptions,
  VAEForwardOptions,
  VAEOutput,
} from './results.js'
export { VAE } from './vae.js'
