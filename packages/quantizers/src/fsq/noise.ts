import { bernoulli, type Random, randomUniform, tf } from '@vq/core'

/**
 * `quantized`, but at random places, each with probability `rate`, `bounded` plus uniform noise of up to half a step. bounded
 * and quantized: [N, D]; steps: [D], the distance of neighbouring values. Source: Parker et al. 2024, section 3.2.
 */
export function withNoise(
  bounded: tf.Tensor2D,
  quantized: tf.Tensor2D,
  { rate, steps, generator }: { rate: number; steps: ArrayLike<number>; generator: Random },
): tf.Tensor2D {
  const chosen = bernoulli(bounded.shape, rate, { generator })
  const noise = randomUniform(bounded.shape, -0.5, 0.5, { generator })
  const moved = tf.add(bounded, tf.mul(noise, tf.tensor1d(Float32Array.from(steps))))
  return tf.where(tf.cast(chosen, 'bool'), moved, quantized) as tf.Tensor2D
}
