import * as tf from '@tensorflow/tfjs-core'
import { expectOneOf, expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { tryNative } from '../native.js'
import { quantizeError } from '../quantize/call.js'
import { type Metric, metrics, nearest } from '../quantize/nearest.js'
import { composedWarning } from './composed.js'
import { detach } from './detach.js'
import { hasKernel, runKernel } from './kernel.js'

/**
 * Index of the nearest code of every vector, by the rule of {@link nearest}. z: [..., D]; codebook: [K, D]. Returns int32
 * [...]. Not differentiable. On a backend without our kernel the rows go through the native typed-array call, so that the
 * indices are the same; without the addon they are computed with tfjs's ops, with a warning.
 *
 * Errors: VqShapeError; VqValueError naming the first vector without a nearest code.
 */
export function nearestCode(
  z: tf.Tensor,
  codebook: tf.Tensor2D,
  { metric = 'l2' }: { metric?: Metric } = {},
): tf.Tensor {
  expectOneOf('nearestCode', 'metric', metric, metrics)
  const fits = codebook.rank === 2 && codebook.size > 0 && z.rank > 0 && z.shape.at(-1) === codebook.shape[1]
  expectShape(
    fits,
    'nearestCode',
    'vectors [..., D] and a codebook [K, D], K and D at least 1',
    `[${z.shape}] and [${codebook.shape}]`,
    'Move channels last, or pass a codebook of that width.',
  )
  return tf.tidy(() => {
    const x = float(z)
    const codes = float(codebook) as tf.Tensor2D
    if (hasKernel('VqNearestCode')) {
      try {
        return runKernel('VqNearestCode', { z: x, codebook: codes }, { metric: metrics.indexOf(metric) })
      } catch (error) {
        throw error instanceof VqValueError ? quantizeError('nearestCode', error.cause) : error
      }
    }
    const shape = z.shape.slice(0, -1)
    if (tryNative() === undefined) return tf.reshape(composed(x, codes, metric), shape)
    const rows = x.dataSync() as Float32Array
    const { indices } = nearest(rows, codes.dataSync() as Float32Array, { dim: codes.shape[1], metric })
    return tf.tensor(indices, shape, 'int32')
  })
}

// Off the tape: there is no gradient through an index.
function float(x: tf.Tensor): tf.Tensor {
  return x.dtype === 'float32' ? detach(x) : tf.cast(detach(x), 'float32')
}

function composed(x: tf.Tensor, codes: tf.Tensor2D, metric: Metric): tf.Tensor {
  composedWarning('nearestCode')
  const unit = (t: tf.Tensor): tf.Tensor => tf.divNoNan(t, tf.norm(t, 'euclidean', -1, true))
  const rows = tf.reshape(metric === 'cosine' ? unit(x) : x, [-1, codes.shape[1]])
  const book = metric === 'cosine' ? unit(codes) : codes
  const products = tf.matMul(rows as tf.Tensor2D, book as tf.Tensor2D, false, true)
  const scores =
    metric === 'l2' ? tf.sub(tf.mul(tf.sum(tf.square(book), 1), 0.5), products) : tf.neg(products)
  if (!tf.all(tf.isFinite(tf.min(scores, 1))).dataSync()[0])
    throw new VqValueError({
      operation: 'nearestCode',
      expected: 'finite vectors and codes whose products fit float32',
      received: 'a vector without a nearest code',
      remedy: 'Look for NaN in the data or a loss that diverged.',
    })
  return tf.argMin(scores, 1)
}
