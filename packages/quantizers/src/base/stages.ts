import { tf } from '@vq/core'

/**
 * Σ part(stage, codes of that stage, the sum before it), in the order of the stages, as quantization adds them. indices:
 * [N, Q], or [N] for the first stage alone; where a code is −1 its stage was left out.
 */
export function sumOfStages(
  indices: tf.Tensor,
  part: (stage: number, codes: tf.Tensor1D, before: tf.Tensor2D | undefined) => tf.Tensor2D,
): tf.Tensor2D {
  const stages = (indices.rank === 1 ? [indices] : tf.unstack(indices, 1)) as tf.Tensor1D[]
  let sum: tf.Tensor2D | undefined
  for (const [stage, codes] of stages.entries()) {
    const there = tf.expandDims(tf.cast(tf.greaterEqual(codes, 0), 'float32'), 1) // [N, 1]
    const own = tf.mul<tf.Tensor2D>(part(stage, tf.maximum(codes, tf.scalar(0, 'int32')), sum), there)
    sum = sum === undefined ? own : tf.add(sum, own)
  }
  return sum as tf.Tensor2D
}
