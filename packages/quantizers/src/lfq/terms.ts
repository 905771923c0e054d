// Yu et al. 2023, "Language model beats diffusion: tokenizer is key to visual generation", https://arxiv.org/abs/2310.05737:
//   q_j = sign(z_j)                                                                  (equation 3; 0 counts as negative)
//   code = Σ_j 2^(D−j)·1{z_j > 0}                                                    (equation 4, first bit highest)
//   L_entropy = E[H(p(z))] − γ·H(E[p(z)]),  p(c | z) = softmax_c(−t·‖z − c‖²)        (equation 6)
// ‖z‖² and ‖c‖² are the same for all codes c ∈ {±s}^D, so p(c | z) = softmax_c(2t·z·c) = Π_j σ(4·t·s·z_j) or 1 − that:
// entropies follow from the bits' probabilities alone (lfqEntropies of @vq/core). They are exact: nothing is clamped.
// Zhao et al. 2024, "Image and video tokenization with binary spherical quantization", https://arxiv.org/abs/2406.07548:
//   u = z/‖z‖,  q = sign(u)/√D, everything else of u instead of z                    (equations 5 to 7)
import { detach, lfqEntropies, lfqQuantize, meanSquaredError, type Random, tf } from '@vq/core'
import { selectRows } from '../base/rows.js'
import { unitRows } from '../base/unit-rows.js'
import { straightThrough } from '../estimators/straight-through.js'
import type { LFQSettings } from './options.js'

/** u: z itself, or on the unit sphere; rows of norm 0 stay 0. z: [M, D]. */
export function onSphere(z: tf.Tensor2D, { spherical }: LFQSettings): tf.Tensor2D {
  return spherical ? unitRows(z) : z
}

/** Values with the gradient of u, and codes. The codes are of z itself: dividing by the norm could lose a tiny number's sign. */
export function signs(
  z: tf.Tensor2D,
  u: tf.Tensor2D,
  scale: number,
): { quantized: tf.Tensor2D; indices: tf.Tensor } {
  const { quantized, indices } = lfqQuantize(detach(z), { scale })
  return { quantized: straightThrough(u, quantized as tf.Tensor2D), indices }
}

/**
 * The weighted losses of u [M, D] that became q [M, D], ±scale. `codebooks`: rows of one vector, behind one another, that have
 * codebooks of their own; terms are means over codebooks.
 */
export function lfqLosses(
  u: tf.Tensor2D,
  q: tf.Tensor2D,
  scale: number,
  settings: LFQSettings,
  { codebooks, training, random }: { codebooks: number; training: boolean; random: Random },
): Record<string, tf.Scalar> {
  const { commitmentCost, entropyLossWeight: weight, diversityGamma, inverseTemperature } = settings
  const losses: Record<string, tf.Scalar> = {}
  if (commitmentCost > 0) losses.commitment = tf.mul(meanSquaredError(u, detach(q)), commitmentCost)
  if (weight === 0) return losses
  const kappa = 4 * inverseTemperature * scale
  const vectors = tf.reshape(u, [-1, codebooks * settings.bits]) as tf.Tensor2D
  const looked = training ? sampled(vectors, settings.entropySampleFraction, random) : vectors
  const { perSample, ofMean } = entropies(looked, kappa, settings, codebooks)
  losses.entropy = tf.mul(perSample, weight / codebooks)
  if (diversityGamma > 0) losses.diversity = tf.mul(ofMean, (-weight * diversityGamma) / codebooks)
  return losses
}

/** Whether `lfqLosses` draws random numbers in training. */
export function draws({ entropySampleFraction, entropyLossWeight }: LFQSettings): boolean {
  return entropySampleFraction < 1 && entropyLossWeight > 0
}

// Sums over the codebooks, whose groups of bits must not mix.
function entropies(
  vectors: tf.Tensor2D,
  kappa: number,
  { bits, diversityGroup: group }: LFQSettings,
  codebooks: number,
): { perSample: tf.Scalar; ofMean: tf.Scalar } {
  if (codebooks === 1 || bits % group === 0) return lfqEntropies(vectors, kappa, group)
  const each = tf.split(vectors, codebooks, 1).map(part => lfqEntropies(part as tf.Tensor2D, kappa, group))
  const sum = (parts: tf.Scalar[]): tf.Scalar => parts.reduce((a, b) => tf.add(a, b))
  return { perSample: sum(each.map(e => e.perSample)), ofMean: sum(each.map(e => e.ofMean)) }
}

function sampled(vectors: tf.Tensor2D, fraction: number, random: Random): tf.Tensor2D {
  const n = vectors.shape[0]
  const kept = Math.max(1, Math.floor(n * fraction))
  return kept === n ? vectors : selectRows(vectors, random.permutation(n).slice(0, kept).sort())
}
