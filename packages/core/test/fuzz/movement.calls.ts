import type { FuzzTable } from './call.js'
import { type Dtype, type Rng, sizeOf, type Values } from './rng.js'

/** Kernels that move elements: every bit must arrive. */

const dtypes: readonly Dtype[] = ['float32', 'float32', 'int32', 'bool', 'complex64', 'string']
const any = (r: Rng, shape: number[], among: readonly Dtype[] = dtypes): Values =>
  r.tensor(shape, r.pick(among), 0.2)
const numbers = dtypes.slice(0, 4)

const keyed = (list: Values[]): Record<string, Values> => Object.fromEntries(list.map((v, i) => [i, v]))

export const movement: FuzzTable = {
  Reshape: {
    call: r => {
      const shape = r.shape()
      const to = r.pick([
        [sizeOf(shape)],
        [...shape].reverse(),
        [1, ...shape, 1],
        sizeOf(shape) > 0 ? [-1] : shape,
        sizeOf(shape) > 0 && shape.length > 0 ? [shape[0], -1, 1] : shape,
      ])
      return { inputs: { x: any(r, shape) }, attrs: { shape: to } }
    },
  },
  ExpandDims: {
    call: r => {
      const shape = r.shape(0, 5)
      return { inputs: { input: any(r, shape) }, attrs: { dim: r.int(-shape.length - 1, shape.length) } }
    },
  },
  Transpose: {
    call: r => {
      const shape = r.shape()
      return { inputs: { x: any(r, shape) }, attrs: { perm: r.shuffle([...shape.keys()]) } }
    },
  },
  Slice: {
    call: r => {
      const shape = r.shape()
      const begin = shape.map(d => r.int(0, d))
      return {
        inputs: { x: any(r, shape) },
        attrs: { begin, size: shape.map((d, i) => (r.chance(0.2) ? -1 : r.int(0, d - begin[i]))) },
      }
    },
  },
  StridedSlice: {
    call: r => {
      const shape = r.shape(1)
      const bits = (): number => (r.chance(0.6) ? 0 : r.int(0, 2 ** shape.length - 1))
      const ellipsis = r.chance(0.2) ? 1 << r.int(0, shape.length - 1) : 0
      return {
        inputs: { x: any(r, shape) },
        attrs: {
          begin: shape.map(d => r.int(-d, d)),
          end: shape.map(d => r.int(-d - 1, d + 1)),
          strides: shape.map(() => r.pick([1, 1, 2, 3, -1, -2])),
          beginMask: bits(),
          endMask: bits(),
          ellipsisMask: ellipsis,
          newAxisMask: r.chance(0.1) ? 1 : 0,
          shrinkAxisMask: 0,
        },
      }
    },
  },
  Reverse: {
    call: r => {
      const shape = r.shape()
      return { inputs: { x: any(r, shape) }, attrs: { dims: r.axes(shape.length) } }
    },
  },
  Concat: {
    call: r => {
      const shape = r.shape(1)
      const axis = r.axis(shape.length)
      const at = axis < 0 ? axis + shape.length : axis
      const dtype = r.pick(dtypes)
      const parts = Array.from({ length: r.int(1, 4) }, () =>
        r.tensor(
          shape.map((d, i) => (i === at ? r.size() : d)),
          dtype,
          0.2,
        ),
      )
      return { inputs: keyed(parts), attrs: { axis } }
    },
  },
  Pack: {
    call: r => {
      const shape = r.shape(0, 5)
      const dtype = r.pick(dtypes)
      const parts = Array.from({ length: r.int(1, 4) }, () => r.tensor(shape, dtype, 0.2))
      return { inputs: keyed(parts), attrs: { axis: r.int(0, shape.length) } }
    },
  },
  Unpack: {
    call: r => {
      const shape = r.shape(1)
      return { inputs: { value: any(r, shape) }, attrs: { axis: r.axis(shape.length) } }
    },
  },
  SplitV: {
    call: r => {
      const shape = r.shape(1)
      const axis = r.axis(shape.length)
      const length = shape.at(axis) as number
      const first = r.int(0, length)
      const numOrSizeSplits = r.pick([1, length || 1, [first, length - first], [length], [first, -1]])
      return { inputs: { x: any(r, shape) }, attrs: { numOrSizeSplits, axis } }
    },
  },
  Tile: {
    call: r => {
      const shape = r.shape(0, 5)
      return { inputs: { x: any(r, shape) }, attrs: { reps: shape.map(() => r.pick([1, 1, 2, 3, 0])) } }
    },
  },
  PadV2: {
    call: r => {
      const shape = r.shape()
      const x = any(r, shape, ['float32', 'int32', 'bool'])
      const constantValue = x.dtype === 'bool' ? r.int(0, 1) : r.int(-3, 3)
      return {
        inputs: { x },
        attrs: { paddings: shape.map(() => [r.int(0, 2), r.int(0, 2)]), constantValue },
      }
    },
  },
  MirrorPad: {
    call: r => {
      const shape = r.shape(1, 6, false)
      const mode = r.pick(['reflect', 'symmetric'])
      const most = (d: number): number => Math.min(3, d - (mode === 'reflect' ? 1 : 0))
      return {
        inputs: { x: any(r, shape, numbers.slice(0, 3)) },
        attrs: { mode, paddings: shape.map(d => [r.int(0, most(d)), r.int(0, most(d))]) },
      }
    },
  },
  GatherV2: {
    call: r => {
      const shape = r.shape(1, 5, false)
      const axis = r.int(0, shape.length - 1)
      const batchDims = r.chance(0.4) ? r.int(0, axis) : 0
      const indices = [...shape.slice(0, batchDims), ...r.shape(0, 2)]
      return {
        inputs: { x: any(r, shape, dtypes), indices: r.ints(indices, 0, shape[axis] - 1) },
        attrs: { axis, batchDims },
      }
    },
  },
  UnsortedSegmentSum: {
    call: r => {
      const shape = r.shape(1)
      const numSegments = r.int(1, 5)
      return {
        inputs: {
          // Not int32, whose sums it calls float32.
          x: r.tensor(shape),
          segmentIds: r.ints(shape.slice(0, 1), -1, numSegments - 1),
        },
        attrs: { numSegments },
      }
    },
    tolerance: 1e-6,
  },
  OneHot: {
    call: r => {
      const depth = r.int(1, 6)
      const dtype = r.pick(['float32', 'int32', 'bool'])
      return {
        inputs: { indices: r.ints(r.shape(0, 5), -2, depth + 1) },
        attrs: { depth, onValue: r.int(0, 1), offValue: r.int(0, 1), dtype },
      }
    },
  },
  Range: {
    call: r => {
      const dtype = r.pick(['float32', 'int32'])
      const step = r.pick(dtype === 'int32' ? [1, 2, 3, -1, -2] : [1, 0.5, -0.25, 2, -1])
      return { inputs: {}, attrs: { start: r.int(-9, 9), stop: r.int(-9, 9), step, dtype } }
    },
    tolerance: 1e-6,
  },
  LinSpace: {
    call: r => ({ inputs: {}, attrs: { start: r.int(-9, 9), stop: r.int(-9, 9) / 2, num: r.int(1, 40) } }),
    // It adds up steps in float32.
    tolerance: 2e-5,
  },
  Diag: { call: r => ({ inputs: { x: any(r, r.shape(0, 2), numbers) } }) },
  BroadcastArgs: {
    call: r => {
      const [a, b] = r.pair()
      const vector = (v: number[]): Values => ({ shape: [v.length], dtype: 'int32', data: v })
      return { inputs: { s0: vector(a), s1: vector(b) } }
    },
  },
  BatchToSpaceND: {
    call: r => {
      const block = [r.int(1, 3), r.int(1, 3)].slice(0, r.int(1, 2))
      const shape = [r.int(0, 2) * sizeOf(block), ...block.map(() => r.int(1, 4)), ...r.shape(0, 2)]
      const crops = block.map((b, i) => {
        const before = r.int(0, Math.min(2, b * shape[i + 1]))
        return [before, r.int(0, Math.min(2, b * shape[i + 1] - before))]
      })
      return { inputs: { x: any(r, shape) }, attrs: { blockShape: block, crops } }
    },
  },
  SpaceToBatchND: {
    call: r => {
      const block = [r.int(1, 3), r.int(1, 3)].slice(0, r.int(1, 2))
      const paddings = block.map(() => [r.int(0, 2), r.int(0, 2)])
      const spatial = block.map((b, i) => {
        const pad = paddings[i][0] + paddings[i][1]
        return Math.max(0, b * (Math.ceil(pad / b) + r.int(0, 2)) - pad)
      })
      const shape = [r.size(), ...spatial, ...r.shape(0, 2)]
      return { inputs: { x: any(r, shape) }, attrs: { blockShape: block, paddings } }
    },
  },
  DepthToSpace: {
    call: r => {
      const blockSize = r.int(2, 3)
      const [b, h, w, c] = [r.size(), r.int(1, 4), r.int(1, 4), r.int(1, 3) * blockSize * blockSize]
      const dataFormat = r.pick(['NHWC', 'NCHW'])
      const shape = dataFormat === 'NHWC' ? [b, h, w, c] : [b, c, h, w]
      // Small integers: it keeps them as float32 for a while.
      const x = r.pick([any(r, shape, ['float32']), r.tensor(shape, 'int32')])
      return { inputs: { x }, attrs: { blockSize, dataFormat } }
    },
  },
}
