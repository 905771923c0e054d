// Bengio et al. 2013, https://arxiv.org/abs/1308.3432: the gradient of the quantized vector goes to z as it is.
import { customGradient, tf } from '@vq/core'

/** q itself, bit for bit, with the gradient of z: ∂/∂z = ∂/∂q. z, q: [N, D]. */
export function straightThrough(z: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [z],
    () => tf.clone(q),
    dy => [tf.clone(dy)],
  )
}
