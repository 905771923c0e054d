import type { ResidualVQOptions } from '@vq/quantizers'
import type { ArchitectureOptions } from '../vqvae/options.js'

/** Those of a VQVAE, with what ResidualVQ takes (`numQuantizers`, default 4; `sharedCodebook`, default false; …). */
export interface RQVAEOptions
  extends ArchitectureOptions,
    Omit<ResidualVQOptions, 'numEmbeddings' | 'embeddingDim' | 'random'> {}
