// The gradient of the quantized vector, projected on the line from z to its code: u = (q − z)/‖q − z‖, ∂z = (u·g)u. What moves
// z across that line, which its quantization does not see, is left out.
import type { tf } from '@vq/core'
import { throughEstimator } from './through.js'

/** q itself, bit for bit, with the part of the gradient along q − z to z. z, q: [N, D]. */
export function projection(z: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return throughEstimator('projection', z, q)
}
