// What images are worth given what the decoder says, in nats: sums over an image's elements, means over images.
import { customGradient, meanSquaredError, tf } from '@vq/core'

/** ln 2π */
const ln2Pi = Math.log(2 * Math.PI)

/** Elements of one image of a batch. */
export function elementsOf(x: tf.Tensor): number {
  return x.size / x.shape[0]
}

/** ‖x − y‖² / 2σ²: −log N(x | y, σ²I) without its constant. */
export function gaussianLoss(x: tf.Tensor, y: tf.Tensor, variance: number): tf.Scalar {
  return tf.mul(meanSquaredError(y, x), elementsOf(x) / (2 * variance))
}

/** The constant: half of D·ln 2πσ². */
export function gaussianConstant(x: tf.Tensor, variance: number): number {
  return 0.5 * elementsOf(x) * (ln2Pi + Math.log(variance))
}

/** −log Bernoulli(x | σ(logits)) = max(l, 0) − l·x + log(1 + e^−|l|), which no logit makes overflow. x from 0 to 1. */
export function bernoulliLoss(x: tf.Tensor, logits: tf.Tensor): tf.Scalar {
  return customGradient<tf.Scalar>(
    [x, logits],
    save => {
      save([x, logits])
      const each = tf.add(
        tf.sub(tf.relu(logits), tf.mul(logits, x)),
        tf.log1p(tf.exp(tf.neg(tf.abs(logits)))),
      )
      return tf.div(tf.sum(each), x.shape[0])
    },
    (dy, [x, logits]) => {
      const share = tf.div(dy, x.shape[0])
      return [tf.mul(tf.neg(logits), share), tf.mul(tf.sub(tf.sigmoid(logits), x), share)]
    },
  )
}

/** KL(N(μ, σ²) ‖ N(0, I)) = −½ Σ (1 + log σ² − μ² − σ²), a sum over the latents, a mean over images. */
export function klToStandardNormal(mu: tf.Tensor2D, logvar: tf.Tensor2D): tf.Scalar {
  const each = tf.sub(tf.sub(tf.add(logvar, 1), tf.square(mu)), tf.exp(logvar))
  return tf.mul(tf.sum(each), -0.5 / mu.shape[0])
}
