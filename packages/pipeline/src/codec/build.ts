import { VqConfigError } from '@vq/core'
import { createQuantizer, fsqLevels, RQKMeans } from '@vq/quantizers'
import type { PipelineValues } from '../config/values.js'
import type { CodecParts, TrainedQuantizer } from './codec.js'

type Options = Record<string, unknown>

/**
 * The parts of the codec that a configuration describes, for vectors of length `dim` of which `perBatch` come at a time.
 * Codebooks start by k-means, and codes that are hardly ever chosen are revived, unless the configuration says otherwise.
 */
export function codecParts(values: PipelineValues, dim: number, perBatch: number): CodecParts {
  const { vqMethod, vqConfig, numEmbeddings: k, commitmentCost } = values
  const { hiddenDims, codeDim, ...options } = vqConfig as Options & {
    hiddenDims?: number[]
    codeDim?: number
  }
  const upkeep = {
    initCodebook: 'kmeans',
    deadCodeThreshold: Math.min(1, (0.1 * perBatch) / k),
    revivalInterval: 10,
  }
  const vectors = { ...upkeep, commitmentCost, numEmbeddings: k }
  const make = (config: { type: string } & Options): TrainedQuantizer =>
    createQuantizer(config as never) as TrainedQuantizer
  const several = (levels: number): CodecParts['levels'] => new Array<number>(levels).fill(k)
  switch (vqMethod) {
    case 'basic_vq': {
      const width = codeDim ?? dim
      const quantizer = make({ type: 'basic_vq', ...vectors, embeddingDim: width, dim, ...options })
      return { dim, quantizer, levels: [k], hiddenDims: [] }
    }
    case 'vq_vae': {
      const width = codeDim ?? 64
      const quantizer = make({ type: 'basic_vq', ...vectors, embeddingDim: width, ...options })
      return { dim, quantizer, levels: [k], hiddenDims: hiddenDims ?? [256, 128] }
    }
    case 'rq_vae':
    case 'rvq': {
      const width = codeDim ?? (vqMethod === 'rvq' ? dim : 64)
      const numQuantizers = (options.numQuantizers as number | undefined) ?? 4
      const shared = { ...vectors, embeddingDim: width, numQuantizers, ...options }
      const quantizer = make({ type: 'rvq', ...shared, ...(vqMethod === 'rvq' && { dim }) })
      return {
        dim,
        quantizer,
        levels: several(numQuantizers),
        hiddenDims: vqMethod === 'rvq' ? [] : (hiddenDims ?? [256, 128]),
      }
    }
    case 'pq': {
      const parts =
        (options.parts as number | undefined) ?? [8, 7, 6, 5, 4, 3, 2].find(n => dim % n === 0) ?? 1
      return {
        dim,
        quantizer: make({ type: 'pq', ...vectors, dim, ...options, parts }),
        levels: several(parts),
        hiddenDims: [],
      }
    }
    case 'fsq': {
      const levels = (options.levels as number[] | undefined) ?? fsqLevels(k)
      const each = levels.reduce((a, b) => a * b, 1)
      return lattice('fsq', dim, each, hiddenDims, { ...options, levels }, levels.length, make)
    }
    case 'lfq': {
      const bits = Math.max(1, Math.round(Math.log2(k)))
      return lattice(
        'lfq',
        dim,
        2 ** bits,
        hiddenDims,
        { commitmentCost, ...options, codebookSize: 2 ** bits },
        bits,
        make,
      )
    }
    case 'rq_kmeans': {
      const kmeans = {
        nClusters: k,
        nStages: 4,
        maxIter: 100,
        dim,
        randomState: values.training.seed,
        ...options,
      }
      const fitted = new RQKMeans(kmeans)
      const { nStages, beamSize } = fitted.options
      const quantizer = make({
        type: 'rvq',
        numEmbeddings: k,
        embeddingDim: dim,
        numQuantizers: nStages,
        beamSize,
      })
      return { dim, quantizer: quantizer.freeze(), levels: several(nStages), hiddenDims: [], kmeans: fitted }
    }
    default: {
      const quantizer = make({
        type: vqMethod,
        numEmbeddings: k,
        embeddingDim: dim,
        dim,
        commitmentCost,
        ...vqConfig,
      })
      if (quantizer.dim === dim) return { dim, quantizer, levels: undefined, hiddenDims: [] }
      throw new VqConfigError({
        operation: `vqMethod '${vqMethod}'`,
        expected: `a quantizer of vectors of ${dim} numbers`,
        received: `one of ${quantizer.dim}`,
        remedy: 'Take the option `dim` in its factory, or set embeddingDim to its length.',
      })
    }
  }
}

function lattice(
  type: string,
  dim: number,
  size: number,
  hiddenDims: number[] | undefined,
  options: Options,
  width: number,
  make: (config: { type: string } & Options) => TrainedQuantizer,
): CodecParts {
  const count = (options.numCodebooks as number | undefined) ?? 1
  const levels = new Array<number>(count).fill(size)
  // Behind layers of its own the quantizer takes just as many numbers as it needs.
  if (hiddenDims !== undefined)
    return { dim, quantizer: make({ type, ...options }), levels, hiddenDims, codeDim: width * count }
  return { dim, quantizer: make({ type, ...options, dim }), levels, hiddenDims: [] }
}
