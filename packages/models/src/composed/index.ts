export {
  ComposedVQVAE,
  type ComposedVQVAEOptions,
  type ComposedVQVAEOutput,
  type PartName,
} from './composed-vqvae.js'
export type { DecoderPart, EncoderPart, QuantizerPart } from './parts.js'
