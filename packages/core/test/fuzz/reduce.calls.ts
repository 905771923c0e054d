import { tf } from '@vq/core'
import type { Call, Fuzz, FuzzTable } from './call.js'
import { type Dtype, gentle, type Rng, type Values } from './rng.js'

/** Kernels along axes: sums, extremes, running sums, order, counts. */

const reduction =
  (dtypes: readonly Dtype[], wild: number, zero = true, special = gentle): Fuzz['call'] =>
  r => {
    const shape = r.shape(1, 6, zero)
    const axis = r.axes(shape.length, 1)
    const dtype = r.pick(dtypes)
    const x = r.tensor(shape, dtype, r.chance(0.3) ? wild : 0, special)
    return { inputs: { x }, attrs: { axis, keepDims: r.chance(0.3), reductionIndices: axis } }
  }
const position: Fuzz['call'] = r => {
  const shape = r.shape(1, 6, false)
  return {
    inputs: { x: r.tensor(shape, r.pick(['float32', 'int32', 'bool'])) },
    attrs: { axis: r.axis(shape.length) },
  }
}
const running: Fuzz['call'] = r => {
  const shape = r.shape(1)
  return {
    inputs: { x: r.tensor(shape, r.pick(['float32', 'int32', 'bool'])) },
    attrs: { axis: shape.length - 1, exclusive: r.chance(0.5), reverse: r.chance(0.5) },
  }
}
const logits = (r: Rng): Record<string, ReturnType<Rng['tensor']>> => {
  const shape = r.shape(1, 6, false)
  return { logits: r.floats(shape, -r.pick([1, 20, 200]), r.pick([1, 20, 200])) }
}
const sorted = (r: Rng, rows: number, n: number, dtype: 'float32' | 'int32') => ({
  shape: [rows, n],
  dtype,
  data: Array.from({ length: rows }, () =>
    (r.tensor([n], dtype).data as number[]).sort((a, b) => a - b),
  ).flat(),
})

const nothing = ({ inputs: { x } }: Call): boolean => (x as Values).data.length === 0

export const reductions: FuzzTable = {
  Sum: { call: reduction(['float32', 'int32', 'bool', 'complex64'], 0.1), tolerance: 1e-5 },
  // The mean of nothing is NaN, as in NumPy and PyTorch, and all of nothing are true; it answers 0 to both.
  Mean: {
    call: reduction(['float32', 'int32'], 0.1, false),
    tolerance: 1e-5,
    // Large integers become float32, as tfjs's op makes them before any kernel runs.
    plainIsWrong: ({ inputs: { x } }) =>
      (x as Values).dtype === 'int32' && (x as Values).data.some(v => Math.abs(v as number) > 9),
  },
  Prod: { call: reduction(['float32'], 0), tolerance: 1e-5 },
  // The largest of nothing is the least there is, not NaN or 0.
  Max: { call: reduction(['float32', 'int32', 'bool'], 0.2), plainIsWrong: nothing },
  Min: { call: reduction(['float32', 'int32', 'bool'], 0.2), plainIsWrong: nothing },
  All: { call: reduction(['bool'], 0, false) },
  Any: { call: reduction(['bool'], 0) },
  ArgMax: { call: position },
  ArgMin: { call: position },
  Softmax: { call: r => ({ inputs: logits(r), attrs: { dim: -1 } }), tolerance: 1e-5 },
  LogSoftmax: {
    call: r => ({ inputs: logits(r), attrs: { axis: -1 } }),
    tolerance: 1e-5,
    plain: ({ logits: x }) => tf.logSoftmax(x),
  },
  Cumsum: { call: running, tolerance: 1e-5 },
  Cumprod: { call: running, tolerance: 1e-5 },
  // Finite numbers: it sorts infinities wrongly.
  TopK: {
    call: r => {
      const shape = r.shape(1, 6, false)
      const x = r.tensor(shape, r.pick(['float32', 'int32']))
      return { inputs: { x }, attrs: { k: r.int(0, shape[shape.length - 1]), sorted: true } }
    },
  },
  Unique: {
    call: r => {
      const shape = r.shape(1, 3, false)
      const x = r.tensor(shape, r.pick(['float32', 'int32', 'bool', 'string']))
      if (x.dtype === 'float32') x.data = (x.data as number[]).map(v => Math.round(v))
      return { inputs: { x }, attrs: { axis: r.int(0, shape.length - 1) } }
    },
  },
  SearchSorted: {
    call: r => {
      const dtype = r.pick(['float32', 'int32'] as const)
      const rows = r.int(0, 3)
      return {
        inputs: {
          sortedSequence: sorted(r, rows, r.int(1, 20), dtype),
          values: r.tensor([rows, r.int(0, 9)], dtype),
        },
        attrs: { side: r.pick(['left', 'right']) },
      }
    },
  },
  Bincount: {
    call: r => {
      const n = r.int(0, 40)
      const dtype = r.pick(['float32', 'int32'] as const)
      const weights = r.chance(0.5) ? r.tensor([n], dtype) : r.tensor([0], dtype)
      return { inputs: { x: r.ints([n], 0, 12), weights }, attrs: { size: r.int(0, 14) } }
    },
    tolerance: 1e-5,
  },
  DenseBincount: {
    call: r => {
      const shape = r.chance(0.5) ? [r.int(0, 40)] : [r.int(0, 4), r.int(0, 20)]
      const dtype = r.pick(['float32', 'int32'] as const)
      const weights = r.chance(0.5) ? r.tensor(shape, dtype) : r.tensor([0], dtype)
      return {
        inputs: { x: r.ints(shape, 0, 12), weights },
        // It does not know binary output of a vector.
        attrs: { size: r.int(0, 14), binaryOutput: shape.length === 2 && r.chance(0.3) },
      }
    },
    tolerance: 1e-5,
  },
  Multinomial: {
    call: r => ({
      inputs: { logits: r.tensor([r.int(0, 4), r.int(1, 9)]) },
      attrs: { numSamples: r.int(0, 20), seed: r.next(), normalized: false },
    }),
    alone: 'draws come from another generator; kernels-of-data.test.ts compares their frequencies',
  },
}
