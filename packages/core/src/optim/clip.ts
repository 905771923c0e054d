import type * as tf from '@tensorflow/tfjs-core'
import { expectNumber } from '../check.js'
import { globalNorm } from '../ops/adam.js'

export interface ClipResult {
  /** √ of the sum of squares of all gradients, before clipping. */
  norm: number
  /** What to multiply the gradients with so that their norm is at most `maxNorm`; pass it to `optimizer.step`. */
  scale: number
}

/** Clipping by global norm as PyTorch's clip_grad_norm_: the scale is min(1, maxNorm / (norm + 1e-6)). Null gradients count as zero. */
export function clipGradNorm(gradients: (tf.Tensor | null)[], maxNorm: number): ClipResult {
  expectNumber('clipGradNorm', 'maxNorm', maxNorm, Number.MIN_VALUE, Number.MAX_VALUE)
  const norm = globalNorm(gradients)
  return { norm, scale: Math.min(1, maxNorm / (norm + 1e-6)) }
}
