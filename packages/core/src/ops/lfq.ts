// Lookup-free quantization on tensors. Yu et al. 2023, https://arxiv.org/abs/2310.05737.
import * as tf from '@tensorflow/tfjs-core'
import { expectInteger, expectNumber, expectShape } from '../check.js'
import { tryNative } from '../native.js'
import { expectBits, lfqDecode, lfqRows } from '../quantize/lfq-encode.js'
import { detach } from './detach.js'
import { composedWarning, namedAs, valuesOf } from './fallback.js'
import { expectFloat32, expectInt32 } from './float32.js'
import { hasKernel, runKernel, runKernels } from './kernel.js'
import { taped } from './taped.js'

/**
 * Values ±scale and codes of z [..., D], D at most 31, by the rule of {@link lfqEncode}; the gradient goes straight through.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 */
export function lfqQuantize(
  z: tf.Tensor,
  { scale = 1 }: { scale?: number } = {},
): { quantized: tf.Tensor; indices: tf.Tensor } {
  expectShape(z.rank >= 1, 'lfqQuantize', 'z [..., D]', `[${z.shape}]`, 'Put the bits on the last axis.')
  const dim = z.shape[z.rank - 1]
  expectBits('lfqQuantize', dim)
  expectNumber('lfqQuantize', 'scale', scale, Number.MIN_VALUE, Number.MAX_VALUE)
  expectFloat32('lfqQuantize', z)
  const [quantized, indices] = taped(
    { z },
    () => encode(z, dim, scale),
    ([dy]) => ({ z: () => tf.clone(dy) }),
  )
  return { quantized, indices }
}

function encode(z: tf.Tensor, dim: number, scale: number): tf.Tensor[] {
  const lead = z.shape.slice(0, -1)
  return guarded('lfqQuantize', () => {
    if (hasKernel('VqLfqEncode')) return runKernels('VqLfqEncode', { z }, { scale })
    if (tryNative() !== undefined) {
      const found = lfqRows<{ quantized: Float32Array; indices: Int32Array }>(
        'lfqQuantize',
        valuesOf(z),
        { dim, scale },
        1,
      )
      return [tf.tensor(found.quantized, z.shape), tf.tensor(found.indices, lead, 'int32')]
    }
    composedWarning('lfqQuantize')
    return tf.tidy(() => {
      const bits = tf.cast(tf.greater(z, 0), 'int32')
      const places = tf.tensor1d(
        Array.from({ length: dim }, (_, j) => 2 ** (dim - 1 - j)),
        'int32',
      )
      const quantized = tf.mul(tf.sub(tf.mul(tf.cast(bits, 'float32'), 2), 1), scale)
      return [quantized, tf.cast(tf.sum(tf.mul(bits, places), -1), 'int32')]
    })
  })
}

/** Values of codes of `dim` bits, int32 [...] to [..., dim]. Throws VqValueError for a code that there is not. */
export function lfqValues(indices: tf.Tensor, dim: number, scale = 1): tf.Tensor {
  expectBits('lfqValues', dim)
  expectInt32('lfqValues', 'indices', indices)
  return guarded('lfqValues', () => {
    if (hasKernel('VqLfqDecode'))
      return runKernel('VqLfqDecode', { indices: detach(indices) }, { bits: dim, scale })
    const codes = indices.dataSync() as Int32Array
    const shape = [...indices.shape, dim]
    if (tryNative() !== undefined) return tf.tensor(lfqDecode(codes, { dim, scale }), shape)
    composedWarning('lfqValues')
    const at = (i: number): number =>
      (codes[Math.floor(i / dim)] >> (dim - 1 - (i % dim))) & 1 ? scale : -scale
    return tf.tensor(
      Float32Array.from({ length: codes.length * dim }, (_, i) => at(i)),
      shape,
    )
  })
}

/**
 * The entropies, in nats, of z's distribution over all codes c in {±1}^D: softmax over c of κ/2·z·c, which is a product over
 * the bits with p(bit j = 1) = σ(κ·z_j). z: [N, D], N ≥ 1. `perSample` is the mean over rows of H(p(z)), the sum of the bits'
 * entropies; `ofMean` is H of the rows' mean distribution, over all 2^D codes where `group` is at least D, and else the sum
 * over groups of that many bits, each over its 2^group codes: an upper bound, as if groups were independent.
 * Both are differentiable. N × 2^D numbers are never there; 2^group are. group: 1 to 26.
 *
 * Source: Yu et al. 2023, equation 6; groups: Zhao et al. 2024, https://arxiv.org/abs/2406.07548, section 3.
 */
export function lfqEntropies(
  z: tf.Tensor2D,
  kappa: number,
  group: number = z.shape[1],
): { perSample: tf.Scalar; ofMean: tf.Scalar } {
  expectShape(
    z.rank === 2 && z.size > 0,
    'lfqEntropies',
    'z [N, D] with at least one row',
    `[${z.shape}]`,
    'Flatten all axes before the last.',
  )
  expectInteger('lfqEntropies', 'group', group, 1, 26)
  expectNumber('lfqEntropies', 'kappa', kappa, Number.MIN_VALUE, 1e30)
  expectFloat32('lfqEntropies', z)
  const bits = Math.min(group, z.shape[1])
  if (!hasKernel('VqLfqEntropy')) return composedEntropies(z, kappa, bits)
  const attributes = { group: bits, kappa }
  const [perSample, ofMean] = taped(
    { z },
    save => {
      const [perSample, ofMean, table] = runKernels('VqLfqEntropy', { z }, attributes)
      save([z, table])
      return [perSample, ofMean]
    },
    ([byEntropy, byDiversity], [z, table]) => ({
      z: () => runKernel('VqLfqEntropyGrad', { z, byEntropy, byDiversity, table }, attributes),
    }),
  )
  return { perSample: perSample as tf.Scalar, ofMean: ofMean as tf.Scalar }
}

function composedEntropies(
  z: tf.Tensor2D,
  kappa: number,
  group: number,
): { perSample: tf.Scalar; ofMean: tf.Scalar } {
  return tf.tidy(() => {
    const [n, bits] = z.shape
    const a = tf.mul(z, kappa)
    const ones = tf.sigmoid(a) // [N, D]
    const zeros = tf.sigmoid(tf.neg(a))
    // H = log(1 + e^−|a|) + |a|·σ(−|a|)
    const size = tf.abs(a)
    const each = tf.add(tf.softplus(tf.neg(size)), tf.mul(size, tf.sigmoid(tf.neg(size))))
    const perSample = tf.div(tf.sum(each), n) as tf.Scalar
    let ofMean: tf.Tensor = tf.scalar(0)
    for (let first = 0; first < bits; first += group) {
      const held = Math.min(group, bits - first)
      const middle = first + Math.ceil(held / 2)
      const high = outer(zeros, ones, first, middle) // [N, 2^half]
      const low = outer(zeros, ones, middle, first + held)
      const mean = tf.div(tf.matMul(high, low, true, false), n)
      // A normal number: TensorFlow takes denormal ones for 0.
      ofMean = tf.sub(ofMean, tf.sum(tf.mul(mean, tf.log(tf.maximum(mean, 1.2e-38)))))
    }
    return { perSample, ofMean: ofMean as tf.Scalar }
  })
}

// The distribution of bits from `first` to before `end` of each row, [N, 2^bits].
function outer(zeros: tf.Tensor, ones: tf.Tensor, first: number, end: number): tf.Tensor2D {
  const n = zeros.shape[0]
  let p: tf.Tensor = tf.ones([n, 1])
  for (let j = first; j < end; j++) {
    const [a, b] = [zeros, ones].map(t => tf.mul(p, tf.slice(t, [0, j], [n, 1])))
    p = tf.reshape(tf.stack([a, b], 2), [n, -1])
  }
  return p as tf.Tensor2D
}

function guarded<T>(operation: string, f: () => T): T {
  try {
    return f()
  } catch (error) {
    throw namedAs(operation, error)
  }
}
