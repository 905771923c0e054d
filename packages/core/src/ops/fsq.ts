// Finite scalar quantization on tensors. Mentzer et al. 2023, https://arxiv.org/abs/2309.15505; the rounding is passed
// straight through, the bound before it is not.
import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { tryNative } from '../native.js'
import { encodeRows, fsqDecode } from '../quantize/fsq-encode.js'
import { codesOfLevels, type FsqBound, fsqBounds } from '../quantize/levels.js'
import { customGradient } from './custom-gradient.js'
import { detach } from './detach.js'
import { composedWarning, namedAs, valuesOf } from './fallback.js'
import { expectFloat32, expectInt32 } from './float32.js'
import { hasKernel, runKernel, runKernels } from './kernel.js'
import { taped } from './taped.js'

export interface FsqTensorOptions {
  /** Levels of each dimension, as for {@link fsqEncode}. */
  levels: readonly number[]
  /** Default 'original'. */
  bound?: FsqBound
}

interface Attributes extends Record<string, unknown> {
  levels: number[]
  bound: number
}

/**
 * Values and codes of z [..., D], D = levels.length, by the rule of {@link fsqEncode} on every backend. The values' gradient
 * goes straight through the rounding and through the derivative of the bound.
 *
 * Errors: VqConfigError, VqShapeError; VqValueError naming the first row with a NaN or an infinity.
 */
export function fsqQuantize(
  z: tf.Tensor,
  options: FsqTensorOptions,
): { quantized: tf.Tensor; indices: tf.Tensor } {
  const attributes = checked('fsqQuantize', z, options)
  const [quantized, indices] = taped(
    { z },
    save => {
      save([z])
      return encode(z, attributes)
    },
    ([dy], [z]) => ({ z: () => gradient(z, dy, attributes) }),
  )
  return { quantized, indices }
}

/** What {@link fsqQuantize} rounds, on the scale of its values, with the same gradient. */
export function fsqBounded(z: tf.Tensor, options: FsqTensorOptions): tf.Tensor {
  const attributes = checked('fsqBounded', z, options)
  return customGradient<tf.Tensor>(
    [z],
    save => {
      save([z])
      return bounded(z, attributes)
    },
    (dy, [z]) => [gradient(z, dy, attributes)],
  )
}

/** Values of codes, int32 [...] to [..., D]. Throws VqValueError for a code that there is not. */
export function fsqValues(indices: tf.Tensor, { levels, bound = 'original' }: FsqTensorOptions): tf.Tensor {
  const size = codesOfLevels('fsqValues', levels, bound)
  expectInt32('fsqValues', 'indices', indices)
  const shape = [...indices.shape, levels.length]
  const attributes = { levels: [...levels], bound: fsqBounds.indexOf(bound) }
  return guarded('fsqValues', () => {
    if (hasKernel('VqFsqDecode')) return runKernel('VqFsqDecode', { indices: detach(indices) }, attributes)
    const codes = indices.dataSync() as Int32Array
    if (tryNative() !== undefined) return tf.tensor(fsqDecode(codes, { levels, bound }), shape)
    composedWarning('fsqValues')
    const values = new Float32Array(codes.length * levels.length)
    const columns = levels.map(l => columnOf(l, bound))
    for (let i = 0, at = 0; i < codes.length; i++)
      for (let d = 0, rest = codes[i] % size; d < levels.length; d++, at++) {
        const { step, centre, width } = columns[d]
        values[at] = (step * (rest % levels[d]) - centre) / width
        rest = Math.floor(rest / levels[d])
      }
    return tf.tensor(values, shape)
  })
}

function encode(z: tf.Tensor, { levels, bound }: Attributes): tf.Tensor[] {
  if (hasKernel('VqFsqEncode'))
    return guarded('fsqQuantize', () => runKernels('VqFsqEncode', { z }, { levels, bound }))
  const lead = z.shape.slice(0, -1)
  if (tryNative() !== undefined) {
    const found = guarded('fsqQuantize', () =>
      encodeRows<{ quantized: Float32Array; indices: Int32Array }>(
        'fsqQuantize',
        valuesOf(z),
        { levels, bound: fsqBounds[bound] },
        1,
      ),
    )
    return [tf.tensor(found.quantized, z.shape), tf.tensor(found.indices, lead, 'int32')]
  }
  composedWarning('fsqQuantize')
  return tf.tidy(() => {
    const { t, scale, offset, zero, step, centre, width } = composed(z, levels, bound)
    const level = tf.add(tf.round(tf.sub(tf.mul(t, scale), offset)), zero)
    const basis = levels.map((_, i) => levels.slice(0, i).reduce((a, b) => a * b, 1))
    const digits = tf.mul(tf.cast(level, 'int32'), tf.tensor1d(basis, 'int32'))
    return [tf.div(tf.sub(tf.mul(level, step), centre), width), tf.cast(tf.sum(digits, -1), 'int32')]
  })
}

function bounded(z: tf.Tensor, { levels, bound }: Attributes): tf.Tensor {
  if (hasKernel('VqFsqBound'))
    return guarded('fsqBounded', () => runKernel('VqFsqBound', { z }, { levels, bound }))
  if (tryNative() !== undefined) {
    const options = { levels, bound: fsqBounds[bound] }
    return tf.tensor(
      guarded('fsqBounded', () => encodeRows<Float32Array>('fsqBounded', valuesOf(z), options, 2)),
      z.shape,
    )
  }
  composedWarning('fsqBounded')
  return tf.tidy(() => {
    const { t, scale, offset, zero, step, centre, width } = composed(z, levels, bound)
    const level = tf.add(tf.sub(tf.mul(t, scale), offset), zero)
    return tf.div(tf.sub(tf.mul(level, step), centre), width)
  })
}

function gradient(z: tf.Tensor, dy: tf.Tensor, { levels, bound }: Attributes): tf.Tensor {
  if (hasKernel('VqFsqGrad')) return runKernel('VqFsqGrad', { z, dy }, { levels, bound })
  return tf.tidy(() => {
    const { t, scale, step, width } = composed(z, levels, bound)
    return tf.mul(dy, tf.mul(tf.sub(1, tf.square(t)), tf.div(tf.mul(scale, step), width)))
  })
}

interface Column {
  shift: number
  scale: number
  offset: number
  zero: number
  step: number
  centre: number
  width: number
}

// As native/include/vq/fsq.h.
function columnOf(l: number, bound: FsqBound): Column {
  if (bound === 'symmetric') {
    const half = (l - 1) / 2
    return { shift: 0, scale: half, offset: -half, zero: 0, step: 2, centre: l - 1, width: l - 1 }
  }
  const scale = ((l - 1) * (1 - 1e-3)) / 2
  const offset = l % 2 === 0 ? 0.5 : 0
  const width = Math.floor(l / 2)
  return { shift: Math.tan(offset / scale), scale, offset, zero: width, step: 1, centre: width, width }
}

// tanh of z, and the columns as tensors [D].
function composed(
  z: tf.Tensor,
  levels: readonly number[],
  bound: number,
): Record<Exclude<keyof Column, 'shift'> | 't', tf.Tensor> {
  const columns = levels.map(l => columnOf(l, fsqBounds[bound]))
  const of = (name: keyof Column): tf.Tensor1D => tf.tensor1d(columns.map(c => c[name]))
  return {
    t: tf.tanh(tf.add(z, of('shift'))),
    scale: of('scale'),
    offset: of('offset'),
    zero: of('zero'),
    step: of('step'),
    centre: of('centre'),
    width: of('width'),
  }
}

function checked(operation: string, z: tf.Tensor, options: FsqTensorOptions): Attributes {
  const { levels, bound = 'original' } = options ?? {}
  codesOfLevels(operation, levels, bound)
  expectShape(
    z.rank >= 1 && z.shape[z.rank - 1] === levels.length,
    operation,
    `z [..., ${levels.length}], one number for each of the levels`,
    `[${z.shape}]`,
    'Project z to that length first.',
  )
  expectFloat32(operation, z)
  return { levels: [...levels], bound: fsqBounds.indexOf(bound) }
}

function guarded<T>(operation: string, f: () => T): T {
  try {
    return f()
  } catch (error) {
    throw namedAs(operation, error)
  }
}
