// Fifty et al. 2024, "Restructuring vector quantization with the rotation trick", https://arxiv.org/abs/2410.06424,
// section 4: q is seen as λRz, with R the rotation that turns z towards q and λ = ‖q‖/‖z‖, both held constant:
//   e = z/‖z‖,  q̂ = q/‖q‖,  r = (e + q̂)/‖e + q̂‖,  R = I − 2rrᵀ + 2q̂eᵀ,
//   ∂z = λRᵀg = (‖q‖/‖z‖)·(g − 2r(r·g) + 2e(q̂·g)).
import { customGradient, tf } from '@vq/core'

// Below this a direction means nothing: such rows get the straight-through gradient.
const tiny = 1e-6

/** q itself, bit for bit, with the rotation trick's gradient to z. z, q: [N, D]. */
export function rotationTrick(z: tf.Tensor2D, q: tf.Tensor2D): tf.Tensor2D {
  return customGradient<tf.Tensor2D>(
    [z],
    save => {
      save([z, q])
      return tf.clone(q)
    },
    (g, [z, q]) => {
      const [zNorm, zSafe, zGood] = norm(z) // [N, 1] each
      const [qNorm, qSafe, qGood] = norm(q)
      const e = tf.div(z, zSafe) // [N, D]
      const qHat = tf.div(q, qSafe)
      const sum = tf.add(e, qHat)
      const [, sumSafe, sumGood] = norm(sum)
      const r = tf.div(sum, sumSafe)
      const reflected = tf.sub(g, tf.mul(r, tf.mul(2, dot(r, g))))
      const rotated = tf.add(reflected, tf.mul(e, tf.mul(2, dot(qHat, g))))
      const scaled = tf.mul(rotated, tf.div(qNorm, tf.maximum(zNorm, tiny)))
      const good = tf.mul(zGood, tf.mul(qGood, sumGood))
      return [tf.add(tf.mul(scaled, good), tf.mul(g, tf.sub(1, good)))]
    },
  )
}

// ‖x‖ of each row, the same made safe to divide by, and 1 where it is large enough to have a direction.
function norm(x: tf.Tensor): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const length = tf.sqrt(tf.sum(tf.square(x), -1, true))
  return [length, tf.maximum(length, tiny), tf.cast(tf.greater(length, tiny), 'float32')]
}

function dot(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(a, b), -1, true)
}
