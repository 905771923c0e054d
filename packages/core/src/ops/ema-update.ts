import * as tf from '@tensorflow/tfjs-core'
import { noGrad } from './no-grad.js'

export interface EmaState {
  /** [K, D] */
  codebook: tf.Variable<tf.Rank.R2>
  /** [K], moving average of how many vectors chose each code. */
  counts: tf.Variable<tf.Rank.R1>
  /** [K, D], moving average of the sum of the vectors that chose each code. */
  sums: tf.Variable<tf.Rank.R2>
}

export interface EmaOptions {
  /** Share of the old averages. Default 0.99. */
  decay?: number
  /** Laplace smoothing of the counts. Default 1e-5. */
  epsilon?: number
}

/**
 * One update of a codebook by exponential moving averages, in place. vectors: [N, D]; indices: int32 [N], rows of
 * index −1 are ignored.
 * Source: van den Oord et al. 2017, https://arxiv.org/abs/1711.00937, appendix A.1; Laplace smoothing as in Sonnet.
 */
export function emaUpdateTensors(
  vectors: tf.Tensor2D,
  indices: tf.Tensor1D,
  { codebook, counts, sums }: EmaState,
  { decay = 0.99, epsilon = 1e-5 }: EmaOptions = {},
): void {
  const k = codebook.shape[0]
  noGrad(() =>
    tf.tidy(() => {
      const ones = tf.ones([vectors.shape[0]]) as tf.Tensor1D
      const n = tf.unsortedSegmentSum(ones, indices, k)
      const s = tf.unsortedSegmentSum(vectors, indices, k)
      counts.assign(tf.add(tf.mul(counts, decay), tf.mul(n, 1 - decay)) as tf.Tensor1D)
      sums.assign(tf.add(tf.mul(sums, decay), tf.mul(s, 1 - decay)) as tf.Tensor2D)
      const total = tf.sum(counts)
      const smooth = tf.mul(tf.div(tf.add(counts, epsilon), tf.add(total, k * epsilon)), total)
      codebook.assign(tf.div(sums, tf.reshape(smooth, [k, 1])))
    }),
  )
}
