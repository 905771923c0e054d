import { type tf, VqConfigError } from '@vq/core'
import type { LevelUsage } from '@vq/quantizers'

/** What the first levels up to one of them make of some images. */
export interface LevelQuality {
  /** From 1: figures are of the first `level` levels together, where not said otherwise. */
  level: number
  /** Of the images decoded from these levels' codes alone: mean over all elements of the squared error. */
  mse: number
  /** In dB: 10·log10(peak² / mse). */
  psnr: number
  /** Mean Euclidean length of what these levels leave of a latent vector. */
  residualNorm: number
  /** That over the mean length of the latent vectors: 1 where nothing was said. */
  residualRatio: number
  /** Of this level's own codes: 2^entropy, 1 … K. */
  perplexity: number
  /** Of this level's own codes: the share of them that occur, 0 … 1, and how often each does. */
  usage: LevelUsage
  /** Bits of one image's codes, as stored (log2 K each). */
  bits: number
  /** Bits per pixel, as stored. */
  bitsPerPixel: number
}

export interface LevelAnalysis {
  levels: LevelQuality[]
  /** Mean Euclidean length of a latent vector. */
  latentNorm: number
}

/** Throws VqConfigError unless `levels` is a number of the model's levels. */
export function expectLevels(operation: string, levels: number, most: number): void {
  if (Number.isInteger(levels) && levels >= 1 && levels <= most) return
  throw new VqConfigError({
    operation,
    expected: `levels to be a whole number from 1 to ${most}`,
    received: String(levels),
    remedy: 'Pass how many of the first levels to use.',
  })
}

/** Mean Euclidean length of the vectors of [..., D], in float64. */
export function meanNorm(x: tf.Tensor): number {
  const values = x.dataSync()
  const d = x.shape[x.rank - 1]
  let sum = 0
  for (let at = 0; at < values.length; at += d) {
    let square = 0
    for (let i = at; i < at + d; i++) square += values[i] * values[i]
    sum += Math.sqrt(square)
  }
  return (sum * d) / values.length
}
