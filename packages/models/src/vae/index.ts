export type { VAEArchitecture, VAEOptions } from './options.js'
export {
  type DrawOptions,
  type Elbo,
  type Posterior,
  type TraversalOptions,
  VAE,
  type VAEForwardOptions,
  type VAEOutput,
} from './vae.js'
