export { AutoEncoder, type AutoEncoderOutput } from './autoencoder.js'
export type { ReconstructionError } from './latent-model.js'
export type { AutoEncoderOptions, LatentArchitecture } from './options.js'
