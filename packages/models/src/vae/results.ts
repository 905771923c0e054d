import type { Random, tf } from '@vq/core'

// Types, not interfaces: tf.tidy wants an index signature.
export type Posterior = {
  /** Means of q(z|x), [B, latentDim]. */
  mu: tf.Tensor2D
  /** Natural logarithms of its variances, [B, latentDim]. */
  logvar: tf.Tensor2D
}

export type VAEOutput = Posterior & {
  /** [B, H, W, C]; of 'bernoulli' the probabilities. */
  reconstructed: tf.Tensor4D
  /** [B, latentDim] */
  z: tf.Tensor2D
  /** −log p(x|z) in nats, of 'gaussian' without its constant: ‖x − x̂‖² / 2σ². Sum over elements, mean over images. */
  reconstructionLoss: tf.Scalar
  /** KL(q(z|x) ‖ N(0, I)) in nats: sum over latents, mean over images. */
  klLoss: tf.Scalar
  /** reconstructionLoss + β·klLoss: what training minimises. With β = 1 it is −ELBO, but for the constant of 'gaussian'. */
  totalLoss: tf.Scalar
  /** totalLoss */
  loss: tf.Scalar
}

export interface VAEForwardOptions {
  /** Whether z is drawn from q(z|x); else it is its mean. Default: in training. */
  sample?: boolean
  /** ε [B, latentDim], instead of drawn numbers. */
  noise?: tf.Tensor
}

/** In nats: sums over an image's elements, means over images. */
export interface Elbo {
  /** logLikelihood − kl: at most the mean log-probability of the images. */
  elbo: number
  /** E over q(z|x) of log p(x|z), its constant included. */
  logLikelihood: number
  /** KL(q(z|x) ‖ N(0, I)) */
  kl: number
  /** −elbo in bits per element of an image. */
  bitsPerDim: number
}

export interface DrawOptions {
  /** Where numbers come from. Default: the model's generator. */
  random?: Random
  /** A generator of that seed instead. */
  seed?: number
}

export interface TraversalOptions {
  /** The latents to move. */
  dimensions?: readonly number[]
  low?: number
  high?: number
  numSteps?: number
}
