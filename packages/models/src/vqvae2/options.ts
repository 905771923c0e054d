import type { VQVAEOptions } from '../vqvae/options.js'
import { type Architecture, expectWidths, resolveArchitecture } from '../vqvae/options.js'

/** Those of a VQVAE of the residual architecture; both codebooks get the same options. */
export interface VQVAE2Options extends Omit<VQVAEOptions, 'architecture'> {
  /** Width after each further halving, from the bottom's features to the top's. Default: one, as wide as the last of hiddenDims. */
  topHiddenDims?: readonly number[]
}

export interface VQVAE2Architecture extends Omit<Architecture, 'architecture'> {
  topHiddenDims: readonly number[]
}

/** Fills in defaults and checks. */
export function resolveVqvae2(options: VQVAE2Options): VQVAE2Architecture {
  const { architecture: _, ...rest } = resolveArchitecture('VQVAE2', options)
  const { topHiddenDims = rest.hiddenDims.slice(-1) } = options
  return { ...rest, topHiddenDims: expectWidths('VQVAE2', 'topHiddenDims', topHiddenDims) }
}
