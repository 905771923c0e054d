export { ComposedVQVAE } from './composed-vqvae.js'
export type {
  ComposedVQVAEOptions,
  ComposedVQVAEOutput,
  MaskOptions,
  PartName,
  ReconstructionLoss,
} from './options.js'
export type { DecoderPart, EncoderPart, QuantizerPart } from './parts.js'
