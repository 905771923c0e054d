import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectShape } from '../check.js'
import { Random, type RandomBlocks, random } from '../random.js'
import { customGradient } from './custom-gradient.js'
import { detach } from './detach.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernels } from './kernel.js'
import { keptFactors } from './random.js'

export interface AttentionOptions {
  /** Query i of Tq sees keys up to i + Tk − Tq: the last query sees all, as with a cache of earlier keys. Default false. */
  causal?: boolean
  /**
   * Which keys may be seen. [B, Tk] of bool or int32: 0 marks padding, also where B is Tq. Otherwise broadcastable to [B, H, Tq, Tk]: bool or
   * int32, 0 forbids; or float32, added to the scores. It carries no gradient. Padding of float32 is not accepted.
   */
  mask?: tf.Tensor
  /** Multiplies q·k. Default 1/√D. */
  scale?: number
  /** Share of the weights set to 0, the others grow by 1/(1 − dropout). From 0 to below 1. Default 0. */
  dropout?: number
  /** Draws what is dropped. Default: the global generator. */
  generator?: Random
}

/** What kernels are told. */
export interface AttentionAttributes {
  causal: boolean
  scale: number
  dropout: number
  blocks: RandomBlocks
}

/**
 * softmax(scale·q·kᵀ + mask)·v. q: [B, H, Tq, D]; k, v: [B, H, Tk, D]; the result is [B, H, Tq, D]. A query that may see no
 * key gives 0. Differentiable in q, k and v; on `vq-cpu` memory grows with Tq + Tk, not with their product.
 * Throws VqShapeError where sizes do not fit.
 * Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1; Dao et al. 2022,
 * https://arxiv.org/abs/2205.14135, for the blocks.
 *
 * @example
 * scaledDotProductAttention(q, k, v, { causal: true })
 */
export function scaledDotProductAttention(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  options: AttentionOptions = {},
): tf.Tensor4D {
  const operation = 'scaledDotProductAttention'
  expectShape(
    q.rank === 4 &&
      k.rank === 4 &&
      tf.util.arraysEqual(k.shape, v.shape) &&
      [0, 1, 3].every(i => q.shape[i] === k.shape[i]),
    operation,
    'q [B, H, Tq, D], k and v [B, H, Tk, D]',
    `q [${q.shape}], k [${k.shape}], v [${v.shape}]`,
    'Split heads first: [B, T, H·D] → [B, H, T, D].',
  )
  expectFloat32(operation, q, k, v)
  const { causal = false, scale = 1 / Math.sqrt(Math.max(1, q.shape[3])), dropout = 0 } = options
  expectNumber(operation, 'scale', scale, -Number.MAX_VALUE, Number.MAX_VALUE)
  expectNumber(operation, 'dropout', dropout, 0, 1 - 2 ** -24)
  const [b, h, tq] = q.shape
  const tk = k.shape[2]
  const wordsPerRow = Math.ceil(tk / 4)
  const blocks =
    dropout > 0 ? (options.generator ?? random).reserve(b * h * tq * wordsPerRow) : new Random().reserve(0)
  const attrs: AttentionAttributes = { causal, scale, dropout, blocks }
  const mask = options.mask === undefined ? undefined : maskOf(options.mask, [b, h, tq, tk])
  try {
    if (!hasKernel('VqAttention')) return composed(q, k, v, mask, attrs)
    return customGradient<tf.Tensor4D>(
      [q, k, v],
      save => {
        const [out, lse] = runKernels('VqAttention', { q, k, v, mask }, { ...attrs })
        save(mask === undefined ? [q, k, v, out, lse] : [q, k, v, out, lse, mask])
        return out as tf.Tensor4D
      },
      (dout, [q, k, v, out, lse, mask]) =>
        runKernels('VqAttentionGrad', { q, k, v, out, lse, mask, dout }, { ...attrs }),
    )
  } finally {
    mask?.dispose()
  }
}

// [B, H, Tq, Tk] with sizes of 1 along broadcast axes; bool, or float32 to be added.
function maskOf(mask: tf.Tensor, full: number[]): tf.Tensor4D {
  const padding =
    mask.rank === 2 && mask.dtype !== 'float32' && mask.shape[0] === full[0] && mask.shape[1] === full[3]
  const shape = padding
    ? [full[0], 1, 1, full[3]]
    : [...new Array<number>(Math.max(0, 4 - mask.rank)).fill(1), ...mask.shape]
  expectShape(
    shape.length === 4 && shape.every((n, i) => n === 1 || n === full[i]) && mask.dtype !== 'string',
    'scaledDotProductAttention',
    `a mask [${full[0]}, ${full[3]}] or broadcastable to [${full}]`,
    `[${mask.shape}] of ${mask.dtype}`,
    'Padding masks are bool or int32 [B, Tk].',
  )
  return tf.tidy(() => {
    const typed = mask.dtype === 'int32' ? tf.notEqual(mask, 0) : mask
    return detach(tf.reshape(typed, shape as [number, number, number, number]))
  })
}

function composed(
  q: tf.Tensor4D,
  k: tf.Tensor4D,
  v: tf.Tensor4D,
  mask: tf.Tensor | undefined,
  { causal, scale, dropout, blocks }: AttentionAttributes,
): tf.Tensor4D {
  const [b, h, tq] = q.shape
  const tk = k.shape[2]
  if (q.size === 0 || tk === 0)
    return tf.tidy(() => tf.add(tf.mul(q, 0), tf.mul(tf.add(tf.sum(k), tf.sum(v)), 0))) as tf.Tensor4D
  return tf.tidy(() => {
    let scores: tf.Tensor = tf.mul(tf.matMul(q, k, false, true), scale)
    const forbid = (allowed: tf.Tensor): void => {
      scores = tf.where(allowed, scores, tf.scalar(Number.NEGATIVE_INFINITY))
    }
    if (causal) {
      const last = tf.add(tf.range(0, tq, 1, 'int32'), tf.scalar(tk - tq, 'int32'))
      forbid(tf.lessEqual(tf.range(0, tk, 1, 'int32'), tf.reshape(last, [tq, 1])))
    }
    if (mask?.dtype === 'bool') forbid(mask)
    else if (mask !== undefined) scores = tf.add(scores, mask)
    // Rows of −∞ alone: against a finite maximum their exponentials are 0, and so is the quotient. Other sums are at least 1.
    const top = detach(tf.maximum(tf.max(scores, -1, true), -1e30))
    const weights = tf.exp(tf.sub(scores, top))
    let share = tf.div(weights, tf.maximum(tf.sum(weights, -1, true), 0.5))
    if (dropout > 0) {
      const width = Math.ceil(tk / 4) * 4
      const kept = keptFactors(blocks, b * h * tq * width, dropout)
      const factors = tf.slice(tf.tensor4d(kept, [b, h, tq, width]), [0, 0, 0, 0], [b, h, tq, tk])
      share = tf.mul(share, factors)
    }
    return tf.matMul(share, v) as tf.Tensor4D
  })
}
