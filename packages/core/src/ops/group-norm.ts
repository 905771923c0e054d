import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectShape } from '../check.js'
import { customGradient } from './custom-gradient.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernels } from './kernel.js'

export interface GroupNormOptions {
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
}

/**
 * Normalises each image over its area and the channels of each of `groups` groups, then scales and shifts every channel.
 * x: [B, ..., C], C a multiple of groups; gamma, beta: [C]. Differentiable in all three.
 * Source: Wu and He 2018, https://arxiv.org/abs/1803.08494, equations 1, 7 and 8.
 */
export function groupNorm(
  x: tf.Tensor,
  groups: number,
  gamma?: tf.Tensor1D,
  beta?: tf.Tensor1D,
  { epsilon = 1e-5 }: GroupNormOptions = {},
): tf.Tensor {
  const channels = x.shape[x.rank - 1]
  const parameters = [gamma, beta].filter(p => p !== undefined)
  expectInteger('groupNorm', 'groups', groups, 1)
  expectShape(
    x.rank >= 2 && channels % groups === 0 && parameters.every(p => p.rank === 1 && p.shape[0] === channels),
    'groupNorm',
    `x [B, ..., C] with C a multiple of ${groups}, gamma and beta [C]`,
    `x [${x.shape}], parameters ${parameters.map(p => `[${p.shape}]`).join(', ')}`,
    'Channels are the last axis.',
  )
  expectNumber('groupNorm', 'epsilon', epsilon, 0, Number.MAX_VALUE)
  expectFloat32('groupNorm', x, gamma, beta)
  if (!hasKernel('VqGroupNorm')) return composed(x, groups, gamma, beta, epsilon)
  return customGradient<tf.Tensor>(
    [x, ...parameters],
    save => {
      const [y, mean, inverse] = runKernels('VqGroupNorm', { x, gamma, beta }, { groups, epsilon })
      save(gamma ? [x, mean, inverse, gamma] : [x, mean, inverse])
      return y
    },
    (dy, [x, mean, inverse, gamma]) => {
      const [dx, dgamma, dbeta] = runKernels('VqGroupNormGrad', { x, gamma, mean, inverse, dy }, { groups })
      const wanted = [dx]
      if (gamma !== undefined) wanted.push(dgamma)
      if (beta !== undefined) wanted.push(dbeta)
      return wanted
    },
  )
}

function composed(
  x: tf.Tensor,
  groups: number,
  gamma: tf.Tensor | undefined,
  beta: tf.Tensor | undefined,
  epsilon: number,
): tf.Tensor {
  return tf.tidy(() => {
    const channels = x.shape[x.rank - 1]
    const area = tf.util.sizeFromShape(x.shape.slice(1, -1))
    const grouped = tf.reshape(x, [x.shape[0], area, groups, channels / groups])
    const centred = tf.sub(grouped, tf.mean(grouped, [1, 3], true))
    const variance = tf.mean(tf.square(centred), [1, 3], true)
    let y = tf.reshape(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), x.shape)
    if (gamma !== undefined) y = tf.mul(y, gamma)
    return beta === undefined ? y : tf.add(y, beta)
  })
}
