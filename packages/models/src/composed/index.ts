export {
  ComposedVQVAE,
  type ComposedVQVAEOptions,
  type ComposedVQVAEOutput,
  type MaskOptions,
  type PartName,
  type ReconstructionLoss,
} from './composed-vqvae.js'
export type { DecoderPart, EncoderPart, QuantizerPart } from './parts.js'
