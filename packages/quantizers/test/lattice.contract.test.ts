import { Random } from '@vq/core'
import { quantizerContract } from '@vq/core/testing'
import {
  type BaseQuantizer,
  FSQ,
  GumbelQuantizer,
  LatentQuantizer,
  LFQ,
  ResidualFSQ,
  ResidualLFQ,
} from '@vq/quantizers'
import { onEachBackend } from '../../../test/contract/run.js'

const random = (): Random => new Random(5)
const levels = [4, 3, 5]

const cases: Record<string, () => BaseQuantizer> = {
  FSQ: () => new FSQ({ levels }),
  'FSQ symmetric, two codebooks, noise': () =>
    new FSQ({ levels, bound: 'symmetric', numCodebooks: 2, noiseDropout: 0.5, random: random() }),
  'FSQ of 7 numbers by linear layers': () => new FSQ({ levels, dim: 7, random: random() }),
  'ResidualFSQ with dropout': () =>
    new ResidualFSQ({ levels, numQuantizers: 3, quantizeDropout: 0.7, random: random() }),
  'ResidualFSQ with noise and dropout': () =>
    new ResidualFSQ({ levels, numQuantizers: 3, quantizeDropout: 0.4, noiseDropout: 0.5, random: random() }),
  'ResidualFSQ symmetric, of 6 numbers': () =>
    new ResidualFSQ({ levels, numQuantizers: 2, bound: 'symmetric', dim: 6, random: random() }),
  LFQ: () => new LFQ({ codebookSize: 64, inverseTemperature: 1 }),
  'LFQ spherical, two codebooks, half of the vectors in the entropy': () =>
    new LFQ({ dim: 8, numCodebooks: 2, spherical: true, entropySampleFraction: 0.5, random: random() }),
  'LFQ of 5 numbers by linear layers, groups of 3 bits': () =>
    new LFQ({ codebookSize: 256, dim: 5, diversityGroup: 3, random: random() }),
  'ResidualLFQ with dropout': () =>
    new ResidualLFQ({ codebookSize: 16, numQuantizers: 3, quantizeDropout: 0.7, random: random() }),
  'ResidualLFQ spherical, of 6 numbers': () =>
    new ResidualLFQ({ codebookSize: 16, numQuantizers: 2, spherical: true, dim: 6, random: random() }),
  LatentQuantizer: () => new LatentQuantizer({ levels }),
  'LatentQuantizer, two codebooks, of 5 numbers': () =>
    new LatentQuantizer({ levels, numCodebooks: 2, dim: 5, random: random() }),
  GumbelQuantizer: () => new GumbelQuantizer({ numEmbeddings: 9, embeddingDim: 5, random: random() }),
  'GumbelQuantizer, straight through, by distances': () =>
    new GumbelQuantizer({
      numEmbeddings: 9,
      embeddingDim: 5,
      logits: 'distance',
      straightThrough: true,
      temperature: 0.5,
      random: random(),
    }),
}

for (const [name, make] of Object.entries(cases)) onEachBackend(name, quantizerContract(make))
