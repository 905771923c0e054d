// Jang et al. 2016, "Categorical reparameterization with Gumbel-softmax", https://arxiv.org/abs/1611.01144.
import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { type Random, random } from '../random.js'
import { detach } from './detach.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel, runKernels } from './kernel.js'
import { noGrad } from './no-grad.js'
import { randomUniform } from './random.js'
import { taped } from './taped.js'

export interface GumbelSoftmaxOptions {
  /** τ, from 1e-6 to 1e6. Default 1. */
  temperature?: number
  /** Where the noise comes from; every row begins a block. Default: the global generator. */
  generator?: Random
}

/**
 * Samples y = softmax((logits + g)/τ) [N, K] with Gumbel noise g = −log(−log u); the place of the largest of each, int32 [N];
 * and the mean over rows of KL(softmax(logits) ‖ uniform) in nats, without noise. logits: [N, K], N ≥ 1. y and the divergence
 * are differentiable by the logits. Source: equations 1 and 2.
 */
export function gumbelSoftmax(
  logits: tf.Tensor2D,
  { temperature = 1, generator = random }: GumbelSoftmaxOptions = {},
): { samples: tf.Tensor2D; indices: tf.Tensor1D; divergence: tf.Scalar } {
  expectNumber('gumbelSoftmax', 'temperature', temperature, 1e-6, 1e6)
  expectShape(
    logits.rank === 2 && logits.size > 0,
    'gumbelSoftmax',
    'logits [N, K] with at least one row',
    `[${logits.shape}]`,
    'Flatten all axes before the last.',
  )
  expectFloat32('gumbelSoftmax', logits)
  if (!hasKernel('VqGumbelSoftmax')) return composed(logits, temperature, generator)
  const [n, k] = logits.shape
  const blocks = generator.reserve(n * Math.ceil(k / 4))
  const [samples, indices, divergence] = taped(
    { logits },
    save => {
      const [y, at, kl, logSum, negentropy] = runKernels(
        'VqGumbelSoftmax',
        { logits },
        { temperature, blocks },
      )
      save([logits, y, logSum, negentropy])
      return [y, at, kl]
    },
    ([dy, , dkl], [logits, y, logSum, negentropy]) => ({
      logits: () =>
        runKernel('VqGumbelSoftmaxGrad', { logits, y, logSum, negentropy, dy, dkl }, { temperature }),
    }),
  )
  return {
    samples: samples as tf.Tensor2D,
    indices: indices as tf.Tensor1D,
    divergence: divergence as tf.Scalar,
  }
}

function composed(
  logits: tf.Tensor2D,
  temperature: number,
  generator: Random,
): { samples: tf.Tensor2D; indices: tf.Tensor1D; divergence: tf.Scalar } {
  return tf.tidy(() => {
    const [n, k] = logits.shape
    // Whole blocks to a row, as the fused kernel draws them. u is in the middle of 2^24 equal parts of (0, 1).
    const u = randomUniform([n, 4 * Math.ceil(k / 4)], 0, 1, { generator })
    const inside = tf.minimum(tf.add(tf.slice(u, [0, 0], [n, k]), 2 ** -25), 1 - 2 ** -24)
    const noise = noGrad(() => tf.neg(tf.log(tf.neg(tf.log(inside)))))
    const samples = tf.softmax<tf.Tensor2D>(tf.div(tf.add(logits, noise), temperature))
    const indices = noGrad(() => tf.argMax(detach(samples), 1)) as tf.Tensor1D
    const logs = tf.logSoftmax(logits)
    const divergence = tf.add(tf.div(tf.sum(tf.mul(tf.exp(logs), logs)), n), Math.log(k)) as tf.Scalar
    return { samples, indices, divergence }
  })
}
