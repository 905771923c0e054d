import { customGradient, tf, VqShapeError, VqValueError } from '@vq/core'

/** Rows `rows` of x [N, D]; the gradient of the others is 0. */
export function selectRows(x: tf.Tensor2D, rows: Int32Array): tf.Tensor2D {
  const at = tf.tensor1d(rows, 'int32')
  const n = x.shape[0]
  return customGradient<tf.Tensor2D>(
    [x],
    save => {
      save([at])
      return tf.gather(x, at)
    },
    (dy, [saved]) => [tf.unsortedSegmentSum(dy, saved as tf.Tensor1D, n)],
  )
}

/** [n, D] with x [M, D] in rows `rows` and 0 elsewhere. */
export function scatterRows(x: tf.Tensor2D, rows: Int32Array, n: number): tf.Tensor2D {
  const at = tf.tensor1d(rows, 'int32')
  return customGradient<tf.Tensor2D>(
    [x],
    save => {
      save([at])
      return tf.unsortedSegmentSum(x, at, n) as tf.Tensor2D
    },
    (dy, [saved]) => [tf.gather(dy, saved as tf.Tensor1D)],
  )
}

/**
 * The values of an index tensor of `width` codes per vector, each −1 or in [0, size). −1 stands for all codes of a vector,
 * or, where a part is allowed, for all from some code on of each `run` of them.
 */
export function indexValues(
  operation: string,
  indices: tf.Tensor,
  { size, width, part, run = width }: { size: number; width: number; part: boolean; run?: number },
): Int32Array {
  if (indices.dtype !== 'int32')
    throw new VqShapeError({
      operation,
      expected: 'int32 indices',
      received: `a ${indices.dtype} tensor`,
      remedy: "Cast them: tf.cast(indices, 'int32').",
    })
  const values = indices.dataSync() as Int32Array
  const bad = values.findIndex(v => v < -1 || v >= size)
  if (bad >= 0)
    throw new VqValueError({
      operation,
      expected: `indices from 0 to ${size - 1}, or −1 for a masked vector`,
      received: `${values[bad]} at place ${bad}`,
      remedy: 'Use the quantizer that made the codes.',
    })
  const odd = values.findIndex((v, i) => {
    const at = i % width
    if (at === 0) return false
    const begins = at % run === 0
    const before = values[begins ? i - at : i - 1]
    return v < 0 ? before >= 0 && (begins || !part) : before < 0
  })
  if (odd >= 0)
    throw new VqValueError({
      operation,
      expected: part
        ? 'no code after a −1 of the same vector'
        : 'all codes of a vector, or −1 for each of them',
      received: `${values[odd - 1]}, ${values[odd]} from place ${odd - 1} on`,
      remedy: 'Use the quantizer that made the codes.',
    })
  return values
}
