import { softmaxCrossEntropy, tf } from '@vq/core'

/**
 * The loss that tells each item's other half from those of all others, a mean over both directions, in nats. a, b: [B, D], rows
 * of one item at the same place; temperature τ. Rows are compared by cosine.
 * Source: Radford et al. 2021 (CLIP), https://arxiv.org/abs/2103.00020, figure 3; with all 2B rows as others NT-Xent of
 * Chen et al. 2020, https://arxiv.org/abs/2002.05709, equation 1, which `within` asks for.
 */
export function contrastiveLoss(
  a: tf.Tensor2D,
  b: tf.Tensor2D,
  { temperature, within }: { temperature: number; within: boolean },
): tf.Scalar {
  return tf.tidy((): tf.Scalar => {
    const [n] = a.shape
    const [u, v] = [unit(a), unit(b)]
    const targets = tf.range(0, n, 1, 'int32') as tf.Tensor1D
    if (!within) {
      const scores = tf.div<tf.Tensor2D>(tf.matMul(u, v, false, true), temperature)
      const turned = tf.transpose(scores) as tf.Tensor2D
      return tf.div<tf.Scalar>(
        tf.add(softmaxCrossEntropy(scores, targets), softmaxCrossEntropy(turned, targets)),
        2,
      )
    }
    const all = tf.concat([u, v]) as tf.Tensor2D
    const scores = tf.div<tf.Tensor2D>(tf.matMul(all, all, false, true), temperature)
    // No row is an other of itself.
    const own = tf.mul(tf.eye(2 * n), 1e9)
    const partners = tf.concat([tf.add(targets, tf.scalar(n, 'int32')), targets]) as tf.Tensor1D
    return softmaxCrossEntropy(tf.sub<tf.Tensor2D>(scores, own), partners) as tf.Scalar
  })
}

function unit(x: tf.Tensor2D): tf.Tensor2D {
  return tf.div(x, tf.maximum(tf.sqrt(tf.sum(tf.square(x), 1, true)), 1e-12))
}
