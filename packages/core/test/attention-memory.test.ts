import { device, scaledDotProductAttention, tf } from '@vq/core'
import { expect, test } from 'vitest'

// In a file of its own: the peak is that of the process.
test('attention over 8,192 tokens, forward and backward, never holds their 256 MB of scores', () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const [q, k, v] = [1, 2, 3].map(seed =>
    tf.randomNormal<tf.Rank.R4>([1, 1, 8192, 64], 0, 1, 'float32', seed),
  )
  const gradients = tf.grads((...[a, b, c]: tf.Tensor[]) =>
    tf.sum(scaledDotProductAttention(a as tf.Tensor4D, b as tf.Tensor4D, c as tf.Tensor4D, { causal: true })),
  )([q, k, v])
  // Every query's weights add up to one, so the values' gradients add up to one per query and element.
  expect(tf.sum(gradients[2]).dataSync()[0]).toBeCloseTo(8192 * 64, -1)
  const { bytesPeak } = device.memory().native ?? { bytesPeak: Number.NaN }
  expect(bytesPeak).toBeLessThan(12 * 8192 * 64 * 4 + (8 << 20))
  tf.dispose([q, k, v, ...gradients])
})
