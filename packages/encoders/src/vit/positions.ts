import { tf } from '@vq/core'

// Cubic convolution, Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711, equation 4, for a given a.
function cubic(x: number, a: number): number {
  const t = Math.abs(x)
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1
  return t < 2 ? a * (((t - 5) * t + 8) * t - 4) : 0
}

/**
 * Weights [out][size] of bicubic resampling along an axis, as PyTorch's interpolate without align_corners has them: a = −¾ and
 * repeated ends, or with antialias a = −½ and a kernel as wide as the step, cut off at the ends.
 */
export function bicubicWeights(size: number, out: number, antialias: boolean): Float32Array {
  const weights = new Float32Array(out * size)
  const step = size / out
  for (let i = 0; i < out; i++) {
    const centre = (i + 0.5) * step
    if (!antialias) {
      const at = centre - 0.5
      const low = Math.floor(at)
      for (let j = low - 1; j <= low + 2; j++)
        weights[i * size + Math.min(size - 1, Math.max(0, j))]! += cubic(at - j, -0.75)
      continue
    }
    const scale = Math.max(1, step)
    const from = Math.max(0, Math.trunc(centre - 2 * scale + 0.5))
    const to = Math.min(size, Math.trunc(centre + 2 * scale + 0.5))
    let sum = 0
    for (let j = from; j < to; j++) sum += cubic((j - centre + 0.5) / scale, -0.5)
    for (let j = from; j < to; j++) weights[i * size + j] = cubic((j - centre + 0.5) / scale, -0.5) / sum
  }
  return weights
}

/** Positions [1, h·w, D] of a grid resampled to another: [1, h′·w′, D]. Differentiable. */
export function resampledPositions(
  positions: tf.Tensor3D,
  [h, w]: readonly [number, number],
  [height, width]: readonly [number, number],
  antialias: boolean,
): tf.Tensor3D {
  return tf.tidy(() => {
    const d = positions.shape[2]
    const rows = tf.tensor2d(bicubicWeights(h, height, antialias), [height, h])
    const columns = tf.tensor3d(bicubicWeights(w, width, antialias), [1, width, w])
    const down = tf.matMul(rows, tf.reshape(positions, [h, w * d]) as tf.Tensor2D) // [h′, w·D]
    const across = tf.matMul(tf.tile(columns, [height, 1, 1]), tf.reshape(down, [height, w, d]))
    return tf.reshape(across, [1, height * width, d])
  })
}
