import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { tryNative } from '../native.js'
import { type EmaState, emaUpdate } from '../quantize/ema-update.js'
import { detach } from './detach.js'
import { composedWarning, namedAs, valuesOf } from './fallback.js'
import { hasKernel, runKernels } from './kernel.js'

/** A codebook that follows its vectors; see {@link EmaState}. */
export interface EmaVariables {
  /** [K, D] */
  codebook: tf.Variable
  /** [K] */
  counts: tf.Variable
  /** [K, D] */
  sums: tf.Variable
}

/**
 * The tensor form of {@link emaUpdate}: assigns new values to the three variables. vectors: [..., D]; indices: int32 [...],
 * −1 where a vector does not count. Clones of the variables keep their values. The same bits as the typed-array form;
 * without the addon tfjs's ops compute it, with a warning.
 * Source: van den Oord, Vinyals, Kavukcuoglu 2017, https://arxiv.org/abs/1711.00937, appendix A.1.
 */
export function emaUpdateTensors(
  vectors: tf.Tensor,
  indices: tf.Tensor,
  state: EmaVariables,
  { decay = 0.99, epsilon = 1e-5 }: { decay?: number; epsilon?: number } = {},
): void {
  const { codebook, counts, sums } = state
  const [k, dim] = codebook.shape
  expectNumber('emaUpdateTensors', 'decay', decay, 0, 1)
  expectNumber('emaUpdateTensors', 'epsilon', epsilon, 0, 1)
  expectShape(
    codebook.rank === 2 &&
      codebook.size > 0 &&
      vectors.shape.at(-1) === dim &&
      indices.size * dim === vectors.size &&
      indices.dtype === 'int32' &&
      counts.rank === 1 &&
      counts.shape[0] === k &&
      tf.util.arraysEqual(sums.shape, codebook.shape),
    'emaUpdateTensors',
    'vectors [..., D], int32 indices [...], a codebook and sums of [K, D] and counts of [K]',
    `[${vectors.shape}], ${indices.dtype} [${indices.shape}], [${codebook.shape}], [${sums.shape}] and [${counts.shape}]`,
    'Pass one index per vector, and counts and sums that fit the codebook.',
  )
  tf.tidy(() => {
    const x = vectors.dtype === 'float32' ? detach(vectors) : tf.cast(detach(vectors), 'float32')
    const options = { decay, epsilon }
    let next: tf.Tensor[]
    try {
      if (hasKernel('VqEmaUpdate'))
        next = runKernels('VqEmaUpdate', { vectors: x, indices, codebook, counts, sums }, options)
      else if (tryNative() !== undefined) next = throughArrays(x, indices, state, options)
      else next = composed(x, indices, state, options)
    } catch (error) {
      throw namedAs('emaUpdateTensors', error)
    }
    codebook.assign(next[0])
    counts.assign(next[1])
    sums.assign(next[2])
  })
}

type Options = { decay: number; epsilon: number }

function throughArrays(x: tf.Tensor, indices: tf.Tensor, state: EmaVariables, options: Options): tf.Tensor[] {
  const dim = state.codebook.shape[1] as number
  const copy = (t: tf.Tensor): Float32Array => Float32Array.from(t.dataSync())
  const arrays: EmaState = {
    codebook: copy(state.codebook),
    counts: copy(state.counts),
    sums: copy(state.sums),
  }
  emaUpdate(valuesOf(x), indices.dataSync() as Int32Array, arrays, { dim, ...options })
  const { codebook, sums } = state
  return [
    tf.tensor(arrays.codebook, codebook.shape),
    tf.tensor(arrays.counts),
    tf.tensor(arrays.sums, sums.shape),
  ]
}

function composed(x: tf.Tensor, indices: tf.Tensor, state: EmaVariables, options: Options): tf.Tensor[] {
  composedWarning('emaUpdateTensors')
  const { decay, epsilon } = options
  const [k, dim] = state.codebook.shape as [number, number]
  // #region ema
  const hot = tf.cast(tf.oneHot(tf.reshape(indices, [-1]), k), 'float32') as tf.Tensor2D
  const rowSums = tf.matMul(hot, tf.reshape(x, [-1, dim]) as tf.Tensor2D, true, false)
  const counts = tf.add(tf.mul(state.counts, decay), tf.mul(tf.sum(hot, 0), 1 - decay))
  const sums = tf.add(tf.mul(state.sums, decay), tf.mul(rowSums, 1 - decay))
  const total = tf.sum(counts)
  const divisor = tf.reshape(tf.mul(tf.div(tf.add(counts, epsilon), tf.add(total, k * epsilon)), total), [
    k,
    1,
  ])
  const moved = tf.where(
    tf.broadcastTo(tf.greater(divisor, 0), [k, dim]),
    tf.div(sums, divisor),
    state.codebook,
  )
  // #endregion ema
  return [moved, counts, sums]
}
