import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { customGradient } from './custom-gradient.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernels } from './kernel.js'

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  epsilon?: number
}

/**
 * Normalises each vector along the last axis to mean 0 and (biased) variance 1, then scales and shifts it:
 * (x − mean) / √(variance + epsilon) · gamma + beta. x: [..., C]; gamma, beta: [C]. Differentiable in all three.
 * Throws VqShapeError where sizes do not fit.
 * Source: Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, equations 3 and 4.
 *
 * @example
 * layerNorm(tf.tensor2d([[1, 2, 3]]), tf.ones([3]), tf.zeros([3]))   // [[−1.2247, 0, 1.2247]]
 */
export function layerNorm(
  x: tf.Tensor,
  gamma?: tf.Tensor1D,
  beta?: tf.Tensor1D,
  { epsilon = 1e-5 }: LayerNormOptions = {},
): tf.Tensor {
  const columns = x.shape[x.rank - 1]
  const parameters = [gamma, beta].filter(p => p !== undefined)
  expectShape(
    x.rank >= 1 && parameters.every(p => p.rank === 1 && p.shape[0] === columns),
    'layerNorm',
    'x [..., C], gamma and beta [C]',
    `x [${x.shape}], parameters ${parameters.map(p => `[${p.shape}]`).join(', ')}`,
    'Features are the last axis.',
  )
  expectNumber('layerNorm', 'epsilon', epsilon, 0, Number.MAX_VALUE)
  expectFloat32('layerNorm', x, gamma, beta)
  if (!hasKernel('VqLayerNorm')) return composed(x, gamma, beta, epsilon)
  return customGradient<tf.Tensor>(
    [x, ...parameters],
    save => {
      const [y, mean, inverse] = runKernels('VqLayerNorm', { x, gamma, beta }, { epsilon })
      save(gamma ? [x, mean, inverse, gamma] : [x, mean, inverse])
      return y
    },
    (dy, [x, mean, inverse, gamma]) => {
      const needed = { parameters: parameters.length > 0 }
      const [dx, dgamma, dbeta] = runKernels('VqLayerNormGrad', { x, gamma, mean, inverse, dy }, needed)
      const wanted = [dx]
      if (gamma !== undefined) wanted.push(dgamma)
      if (beta !== undefined) wanted.push(dbeta)
      return wanted
    },
  )
}

function composed(
  x: tf.Tensor,
  gamma: tf.Tensor | undefined,
  beta: tf.Tensor | undefined,
  epsilon: number,
): tf.Tensor {
  return tf.tidy(() => {
    const centred = tf.sub(x, tf.mean(x, -1, true))
    const variance = tf.mean(tf.square(centred), -1, true)
    let y = tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon)))
    if (gamma !== undefined) y = tf.mul(y, gamma)
    return beta === undefined ? y : tf.add(y, beta)
  })
}
