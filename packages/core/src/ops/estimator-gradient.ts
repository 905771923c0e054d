import * as tf from '@tensorflow/tfjs-core'
import { expectOneOf, expectShape } from '../check.js'
import { type Estimator, estimators } from '../quantize/estimator-gradient.js'
import { detach } from './detach.js'
import { hasKernel, runKernel } from './kernel.js'

// Below this a direction means nothing: such rows get the straight-through gradient.
const tiny = 1e-6

/**
 * The tensor form of {@link estimatorGradient}: the gradient of z from g, that of q = quantized z. All [..., D], float32.
 * Fused on vq-cpu, else composed. Errors: VqConfigError, VqShapeError.
 */
export function estimatorGradientTensors<T extends tf.Tensor>(estimator: Estimator, z: T, q: T, g: T): T {
  const operation = 'estimatorGradientTensors'
  expectOneOf(operation, 'estimator', estimator, estimators)
  const shapes = [z, q, g].map(t => `${t.dtype} [${t.shape}]`)
  expectShape(
    z.rank > 0 && shapes.every(s => s === `float32 [${z.shape}]`),
    operation,
    'z, q and g of one shape [..., D], float32',
    shapes.join(', '),
    'Reshape or cast them.',
  )
  if (estimator === 'ste') return tf.clone(g)
  if (hasKernel('VqEstimatorGradient') && z.size > 0)
    return runKernel('VqEstimatorGradient', { z, q, g }, { estimator }) as T
  return tf.tidy(() => composed[estimator](detach(z), detach(q), g) as T)
}

const composed = {
  rotation: (z: tf.Tensor, q: tf.Tensor, g: tf.Tensor, turnedBack = true): tf.Tensor => {
    const [zNorm, zSafe, zGood] = norm(z) // [..., 1] each
    const [qNorm, qSafe, qGood] = norm(q)
    const e = tf.div(z, zSafe) // [..., D]
    const u = tf.div(q, qSafe)
    const sum = tf.add(e, u)
    const [, sumSafe, sumGood] = norm(sum)
    const r = tf.div(sum, sumSafe)
    const reflected = tf.sub(g, tf.mul(r, tf.mul(2, dot(r, g))))
    const [along, onto] = turnedBack ? [e, u] : [u, e]
    const rotated = tf.add(reflected, tf.mul(along, tf.mul(2, dot(onto, g))))
    const scaled = tf.mul(rotated, tf.div(qNorm, tf.maximum(zNorm, tiny)))
    return where(tf.mul(zGood, tf.mul(qGood, sumGood)), scaled, g)
  },
  projection: (z: tf.Tensor, q: tf.Tensor, g: tf.Tensor): tf.Tensor => {
    const difference = tf.sub(q, z)
    const [, safe, good] = norm(difference)
    const u = tf.div(difference, safe)
    return where(good, tf.mul(u, dot(u, g)), g)
  },
}

// ‖x‖ of each row, the same made safe to divide by, and 1 where it is large enough to have a direction.
function norm(x: tf.Tensor): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const length = tf.sqrt(tf.sum(tf.square(x), -1, true))
  return [length, tf.maximum(length, tiny), tf.cast(tf.greater(length, tiny), 'float32')]
}

function dot(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(a, b), -1, true)
}

function where(good: tf.Tensor, a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.add(tf.mul(a, good), tf.mul(b, tf.sub(1, good)))
}

// It is linear in g, and to second order z and q stay what they are: the estimators hold them constant.
tf.registerGradient({
  kernelName: 'VqEstimatorGradient',
  inputsToSave: ['z', 'q'],
  gradFunc: (dy, [z, q], attrs) => {
    const { estimator } = attrs as unknown as { estimator: keyof typeof composed }
    return {
      g: () => composed[estimator](z, q, dy as tf.Tensor, false),
      z: () => tf.zerosLike(z),
      q: () => tf.zerosLike(q),
    }
  },
})
