import { tf } from '@vq/core'

/**
 * [N, heads·D] as rows of D: where the heads share one codebook (groups 1) row by row, head by head; else all rows of the
 * first head, then of the second, and so on.
 */
export function toGroups(x: tf.Tensor2D, heads: number, groups: number): tf.Tensor2D {
  if (heads === 1) return x
  const dim = x.shape[1] / heads
  const parts = tf.reshape(x, [-1, heads, dim])
  return tf.reshape(groups === 1 ? parts : tf.transpose(parts, [1, 0, 2]), [-1, dim])
}

/** The way back: rows [N·heads, D] → [N, heads·D]. */
export function fromGroups(x: tf.Tensor2D, heads: number, groups: number): tf.Tensor2D {
  if (heads === 1) return x
  const dim = x.shape[1]
  if (groups === 1) return tf.reshape(x, [-1, heads * dim])
  return tf.reshape(tf.transpose(tf.reshape(x, [heads, -1, dim]), [1, 0, 2]), [-1, heads * dim])
}
