import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { tryNative } from '../native.js'
import { callNow } from '../quantize/call.js'
import { detach } from './detach.js'
import { composedWarning, namedAs, valuesOf } from './fallback.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernel } from './kernel.js'

/** What makes the codewords of {@link nearestImplicitCode}. */
export interface ImplicitCodebook {
  /** [K, D] */
  start: tf.Tensor2D
  /** [L, D, h] */
  up: tf.Tensor3D
  /** [L, h, D] */
  down: tf.Tensor3D
}

/**
 * Index of the nearest code of every vector, where a small network makes the codewords of each vector anew: codeword k of
 * vector n is e = start_k + shift_n, then e ← e + relu(e·up_l)·down_l for each of the L blocks. z, shift: [N, D]. Returns int32
 * [N]. Products are those of {@link orderedLinear}, scores and ties those of {@link nearest}: the same codes on every backend,
 * instruction set and for every number of threads. Not differentiable.
 *
 * The codewords of all vectors are never there at once: a thread takes about 256 KB, or 48·(2D + h) bytes where that is more.
 * Without the addon tfjs's ops compute blocks of vectors of about 16 MB, with a warning.
 *
 * Errors: VqShapeError; VqValueError naming the first vector without a nearest code.
 * Source: Huijben et al. 2024, "Residual quantization with implicit neural codebooks", https://arxiv.org/abs/2401.14732.
 */
export function nearestImplicitCode(
  z: tf.Tensor2D,
  shift: tf.Tensor2D,
  { start, up, down }: ImplicitCodebook,
): tf.Tensor1D {
  const operation = 'nearestImplicitCode'
  const dim = z.shape[1]
  const [blocks, , hidden] = up.shape
  expectShape(
    z.rank === 2 &&
      tf.util.arraysEqual(shift.shape, z.shape) &&
      start.rank === 2 &&
      start.size > 0 &&
      start.shape[1] === dim &&
      up.size > 0 &&
      tf.util.arraysEqual(up.shape, [blocks, dim, hidden]) &&
      tf.util.arraysEqual(down.shape, [blocks, hidden, dim]),
    operation,
    'z and shift [N, D], start [K, D], up [L, D, h] and down [L, h, D], none but N 0',
    `[${z.shape}], [${shift.shape}], [${start.shape}], [${up.shape}] and [${down.shape}]`,
    'Pass one shift per vector, and weights of that width.',
  )
  expectFloat32(operation, z, shift, start, up, down)
  return tf.tidy(() => {
    const given = { z, shift, start, up, down }
    // Off the tape: there is no gradient through an index.
    const inputs = Object.fromEntries(
      Object.entries(given).map(([name, t]) => [name, detach(t as tf.Tensor)]),
    ) as typeof given
    try {
      if (hasKernel('VqNearestImplicitCode')) return runKernel('VqNearestImplicitCode', inputs) as tf.Tensor1D
      if (tryNative() === undefined) return composed(inputs)
      const arrays = Object.values(inputs).map(t => valuesOf(t)) as Five
      const found = callNow<Int32Array>(operation, {}, (core, threads) =>
        core.nearestImplicitCode(...arrays, dim, hidden, threads, false),
      )
      return tf.tensor1d(found, 'int32')
    } catch (error) {
      throw namedAs(operation, error)
    }
  })
}

type Five = [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array]

const most = 2 ** 22

function composed({
  z,
  shift,
  start,
  up,
  down,
}: ImplicitCodebook & { z: tf.Tensor2D; shift: tf.Tensor2D }): tf.Tensor1D {
  composedWarning('nearestImplicitCode')
  const [n, dim] = z.shape
  const k = start.shape[0]
  const weights = [tf.unstack(up), tf.unstack(down)] as tf.Tensor2D[][]
  const step = Math.max(1, Math.floor(most / (k * (2 * dim + up.shape[2]))))
  const found: tf.Tensor1D[] = [tf.tensor1d([], 'int32')]
  for (let at = 0; at < n; at += step) {
    const rows = Math.min(step, n - at)
    const part = tf.tidy(() => {
      const by = tf.reshape(tf.slice(shift, [at, 0], [rows, dim]), [rows, 1, dim])
      let words = tf.reshape(tf.add(tf.expandDims(start, 0), by), [rows * k, dim])
      for (const [l, first] of weights[0].entries())
        words = tf.add(words, tf.matMul(tf.relu(tf.matMul(words as tf.Tensor2D, first)), weights[1][l]))
      const x = tf.reshape(tf.slice(z, [at, 0], [rows, dim]), [rows, 1, dim])
      const each = tf.reshape(words, [rows, k, dim])
      const scores = tf.sub(tf.mul(tf.sum(tf.square(each), 2), 0.5), tf.sum(tf.mul(each, x), 2))
      if (!tf.all(tf.isFinite(tf.min(scores, 1))).dataSync()[0])
        throw new VqValueError({
          operation: 'nearestImplicitCode',
          expected: 'finite vectors and codewords whose products fit float32',
          received: 'a vector without a nearest code',
          remedy: 'Look for NaN in the data or a loss that diverged.',
        })
      return tf.argMin(scores, 1) as tf.Tensor1D
    })
    found.push(part)
  }
  return tf.concat(found)
}
