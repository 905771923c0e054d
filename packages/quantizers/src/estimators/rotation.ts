// Fifty et al. 2024, "Restructuring vector quantization with the rotation trick", https://arxiv.org/abs/2410.06424,
// section 4: q is seen as λRz, with R the rotation that turns z towards q and λ = ‖q‖/‖z‖, both held constant:
//   e = z/‖z‖,  q̂ = q/‖q‖,  r = (e + q̂)/‖e + q̂‖,  R = I − 2rrᵀ + 2q̂eᵀ,
//   ∂z = λRᵀg = (‖q‖/‖z‖)·(g − 2r(r·g) + 2e(q̂·g)).
import type { tf } from '@vq/core'
import { throughEstimator } from './through.js'

/** q itself, bit for bit, with the rotation trick's gradient to z. z, q: [N, D]. */
export function rotationTrick(z: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return throughEstimator('rotation', z, q)
}
