import { tf } from '@vq/core'

/**
 * Sinusoidal positions [length, width]: sin and cos of position / 10000^(2⌊j/2⌋/width), alternating; computed in float64.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5.
 */
export function sinusoidalPositions(length: number, width: number): tf.Tensor2D {
  const table = new Float32Array(length * width)
  for (let position = 0; position < length; position++)
    for (let j = 0; j < width; j++) {
      const angle = position / 10_000 ** ((2 * Math.floor(j / 2)) / width)
      table[position * width + j] = j % 2 === 0 ? Math.sin(angle) : Math.cos(angle)
    }
  return tf.tensor2d(table, [length, width])
}

/**
 * Positions of RoBERTa: tokens other than padding are counted from paddingId + 1, padding has paddingId. ids: int32 [B, T].
 */
export function countedPositions(ids: tf.Tensor, paddingId: number): tf.Tensor2D {
  return tf.tidy(() => {
    const [b, t] = ids.shape as [number, number]
    const values = ids.dataSync()
    const positions = new Int32Array(b * t)
    for (let row = 0; row < b; row++) {
      let count = 0
      for (let i = row * t; i < (row + 1) * t; i++)
        positions[i] = values[i] === paddingId ? paddingId : paddingId + ++count
    }
    return tf.tensor2d(positions, [b, t], 'int32')
  })
}
