import { tf } from '@vq/core'

/** How tokens become one vector. 'eos' is the first end-of-text token, 'last' the last that the mask keeps. */
export const textPoolings = ['cls', 'mean', 'max', 'mean_sqrt_len', 'weighted_mean', 'last', 'eos'] as const
export type TextPooling = (typeof textPoolings)[number]

// What stands for −∞ where a finite number is wanted.
const least = -1e30

/** Which of the tokens [B, T] count: 1 and 0 in float32. */
export function flagsOf(mask: tf.Tensor | undefined, batch: number, steps: number): tf.Tensor2D {
  if (mask === undefined) return tf.ones([batch, steps])
  return tf.cast(mask.dtype === 'bool' ? mask : tf.notEqual(mask, 0), 'float32') as tf.Tensor2D
}

/**
 * One vector [B, D] of tokens [B, T, D]; what the mask leaves out has no part in it, except that 'cls' always takes the first
 * token. Where nothing is kept the result is 0. Call it in a tidy. 'mean_sqrt_len' divides the sum by the root of the number
 * of tokens, 'weighted_mean' weighs token i by i + 1, as sentence-transformers does.
 */
export function pooledTokens(
  tokens: tf.Tensor3D,
  mask: tf.Tensor | undefined,
  pooling: Exclude<TextPooling, 'eos'>,
): tf.Tensor2D {
  const [b, t, d] = tokens.shape
  if (pooling === 'cls') return tf.reshape(tf.slice(tokens, [0, 0, 0], [b, 1, d]), [b, d])
  if (pooling === 'mean' && mask === undefined) return tf.mean(tokens, 1)
  const flags = flagsOf(mask, b, t)
  if (pooling === 'max') {
    const kept = tf.reshape(tf.greater(flags, 0), [b, t, 1])
    const highest = tf.max(tf.where<tf.Tensor>(kept, tokens, tf.scalar(least)), 1)
    return tf.mul(highest, tf.max(flags, 1, true))
  }
  if (pooling === 'last') return tokenAt(tokens, lastOf(flags))
  const weights = pooling === 'weighted_mean' ? tf.mul(flags, tf.range(1, t + 1)) : flags
  const sum = tf.maximum(tf.sum(weights, 1, true), 1e-9)
  return weighted(tokens, tf.div(weights, pooling === 'mean_sqrt_len' ? tf.sqrt(sum) : sum) as tf.Tensor2D)
}

/** Σ_t weights[b, t]·tokens[b, t]. */
export function weighted(tokens: tf.Tensor3D, weights: tf.Tensor2D): tf.Tensor2D {
  const [b, t, d] = tokens.shape
  return tf.reshape(tf.matMul(tf.reshape(weights, [b, 1, t]), tokens), [b, d])
}

/** The token of each row that `at` [B] names. */
export function tokenAt(tokens: tf.Tensor3D, at: tf.Tensor1D): tf.Tensor2D {
  const [, t] = tokens.shape
  // tfjs has no oneHot of a single place.
  const flags = t === 1 ? tf.ones([at.size, 1]) : tf.oneHot(at, t)
  return weighted(tokens, tf.cast(flags, 'float32') as tf.Tensor2D)
}

/** Place of the last 1 of each row [B, T]; 0 where there is none. */
function lastOf(flags: tf.Tensor2D): tf.Tensor1D {
  return tf.cast(tf.max(tf.mul(flags, tf.range(0, flags.shape[1])), 1), 'int32') as tf.Tensor1D
}
