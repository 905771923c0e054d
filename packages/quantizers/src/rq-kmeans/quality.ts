import { residualEncode } from '@vq/core'
import {
  analyzeCodes,
  type Collisions,
  type Compression,
  compressionOf,
  type LevelUsage,
} from '../analysis/index.js'
import { varianceOf } from './variance.js'

export interface StageQuality extends Omit<LevelUsage, 'counts' | 'chosen'> {
  /** From 0. */
  stage: number
  /** Mean squared error per element of what is left after this stage. */
  mse: number
  /** Share of the vectors' variance that is left, 0 … 1 for a good fit. */
  unexplained: number
}

export interface QuantizationQuality {
  /** Vectors looked at. */
  count: number
  /** Mean squared error per element. */
  mse: number
  /** √mse */
  rmse: number
  /** 10·log10(mean square of the vectors about their mean / mse), in dB; infinite without error. */
  snr: number
  stages: StageQuality[]
  collisions: Collisions
  /** Bits of a vector: as stored, at the stages' entropies, at the entropy of full codes. */
  bits: { nominal: number; entropy: number; joint: number }
  compression: Compression
}

/** What residual codes of vectors [N, dim] are worth. Throws as `residualEncode`. */
export function qualityOf(
  vectors: Float32Array,
  books: Float32Array[],
  dim: number,
  beam: number,
): QuantizationQuality {
  const { codes } = residualEncode(vectors, books, { dim, beam })
  const count = vectors.length / dim
  const left = Float32Array.from(vectors)
  const variance = varianceOf(vectors, dim)
  const sizes = books.map(b => b.length / dim)
  const { levels, collisions, bits } = analyzeCodes(codes, { levels: books.length, codebookSize: sizes })
  const stages = books.map((book, stage): StageQuality => {
    let error = 0
    for (let i = 0, at = 0; i < count; i++) {
      const c = codes[i * books.length + stage] * dim
      for (let d = 0; d < dim; d++, at++) {
        left[at] -= book[c + d]
        error += left[at] * left[at]
      }
    }
    const { used, dead, ratio, entropy, perplexity } = levels[stage]
    const mse = error / vectors.length
    return {
      stage,
      mse,
      unexplained: variance > 0 ? mse / variance : 0,
      used,
      dead,
      ratio,
      entropy,
      perplexity,
    }
  })
  const mse = stages[stages.length - 1].mse
  const codebookNumbers = books.reduce((sum, b) => sum + b.length, 0)
  return {
    count,
    mse,
    rmse: Math.sqrt(mse),
    snr: mse > 0 ? 10 * Math.log10(variance / mse) : Number.POSITIVE_INFINITY,
    stages,
    collisions,
    bits,
    compression: compressionOf({ dim, bits: bits.nominal, count, codebookNumbers }),
  }
}
