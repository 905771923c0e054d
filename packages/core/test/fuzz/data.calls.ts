import type { Fuzz, FuzzTable } from './call.js'
import { type Dtype, type Rng, sizeOf, type Values } from './rng.js'

/** Kernels that read and write by index: scatters, sparse and ragged tensors, strings. */

const ints = (data: number[], shape = [data.length]): Values => ({ shape, dtype: 'int32', data })
const ascending = (r: Rng, count: number, most: number): number[] =>
  Array.from({ length: count }, () => r.int(0, most)).sort((a, b) => a - b)

/** Coordinates of `count` places in the leading axes of a shape. */
function coordinates(r: Rng, lead: readonly number[], count: number): number[] {
  return Array.from({ length: count }, () => lead.map(d => r.int(0, d - 1))).flat()
}
/** The same, each place once: which of two updates stays is nobody's promise. */
function places(r: Rng, lead: readonly number[], count: number): number[] {
  const all = r.shuffle([...Array(sizeOf(lead)).keys()]).slice(0, count)
  return all.flatMap(at => {
    const out: number[] = []
    for (let i = lead.length - 1; i >= 0; i--) {
      out.unshift(at % lead[i])
      at = Math.floor(at / lead[i])
    }
    return out
  })
}

const segments: Fuzz['call'] = r => {
  const shape = r.shape(1, 3, false)
  const count = r.int(0, 9)
  const gaps = r.chance(0.5)
  let segment = gaps ? r.int(0, 2) : 0
  const ids = Array.from({ length: count }, () => (segment += r.int(0, gaps ? 2 : 1)))
  return {
    inputs: {
      data: r.tensor(shape, r.pick(['float32', 'int32'])),
      indices: r.ints([count], 0, shape[0] - 1),
      segmentIds: ints(ids),
    },
  }
}

/** Row splits of nested ragged axes over `rows` values. */
function splits(r: Rng, rows: number, depth: number): Values[] {
  const out: Values[] = []
  let limit = rows
  for (let d = 0; d < depth; d++) {
    const inner = ascending(r, r.int(0, 4), limit)
    const s = [0, ...inner, limit]
    out.unshift(ints(s))
    limit = s.length - 1
  }
  return out
}

export const data: FuzzTable = {
  GatherNd: {
    call: r => {
      const shape = r.shape(1, 5, false)
      const depth = r.int(1, shape.length)
      const lead = r.shape(1, 2)
      const dtype = r.pick<Dtype>(['float32', 'int32', 'bool', 'string'])
      return {
        inputs: {
          params: r.tensor(shape, dtype, 0.2),
          indices: ints(coordinates(r, shape.slice(0, depth), sizeOf(lead)), [...lead, depth]),
        },
      }
    },
  },
  ScatterNd: {
    call: r => {
      const shape = r.shape(1, 4, false)
      const [depth, count] = [r.int(1, shape.length), r.int(1, 6)]
      return {
        inputs: {
          indices: ints(coordinates(r, shape.slice(0, depth), count), [count, depth]),
          updates: r.tensor([count, ...shape.slice(depth)], r.pick(['float32', 'int32'])),
        },
        attrs: { shape },
      }
    },
    tolerance: 1e-6,
  },
  TensorScatterUpdate: {
    call: r => {
      const shape = r.shape(1, 4, false)
      const depth = r.int(1, shape.length)
      const at = places(r, shape.slice(0, depth), r.int(1, 6))
      const count = at.length / depth
      const dtype = r.pick<Dtype>(['float32', 'int32', 'bool'])
      return {
        inputs: {
          tensor: r.tensor(shape, dtype, 0.2),
          indices: ints(at, [count, depth]),
          updates: r.tensor([count, ...shape.slice(depth)], dtype, 0.2),
        },
      }
    },
  },
  SparseToDense: {
    call: r => {
      const outputShape = r.shape(1, 4, false)
      const at = places(r, outputShape, r.int(1, 6))
      const count = at.length / outputShape.length
      const dtype = r.pick<Dtype>(['float32', 'int32', 'bool', 'string'])
      return {
        inputs: {
          sparseIndices: ints(at, [count, outputShape.length]),
          sparseValues: r.tensor(r.chance(0.2) ? [] : [count], dtype),
          defaultValue: r.tensor([], dtype),
        },
        attrs: { outputShape },
      }
    },
  },
  SparseSegmentSum: { call: segments, tolerance: 1e-6 },
  SparseSegmentMean: { call: segments, tolerance: 1e-6 },
  SparseReshape: {
    call: r => {
      const shape = r.shape(1, 4, false)
      const count = r.int(0, 5)
      const to = r.pick([[-1], [sizeOf(shape)], [...shape].reverse(), [shape[0], -1], [1, -1, shape[0]]])
      return {
        inputs: {
          inputIndices: ints(coordinates(r, shape, count), [count, shape.length]),
          inputShape: ints(shape),
          newShape: ints(to),
        },
      }
    },
  },
  SparseFillEmptyRows: {
    call: r => {
      const [rows, columns, count] = [r.int(1, 6), r.int(1, 4), r.int(0, 8)]
      const dtype = r.pick<Dtype>(['float32', 'int32'])
      return {
        inputs: {
          indices: ints(coordinates(r, [rows, columns], count), [count, 2]),
          values: r.tensor([count], dtype),
          denseShape: ints([rows, columns]),
          defaultValue: r.tensor([], dtype),
        },
      }
    },
  },
  RaggedRange: {
    call: r => {
      const dtype = r.pick(['int32', 'float32'] as const)
      const n = r.int(1, 5)
      const vector = (least: number, most: number): Values => {
        const v = r.ints(r.chance(0.3) ? [] : [n], least, most)
        return { ...v, dtype }
      }
      const deltas = vector(1, 3)
      if (r.chance(0.3)) deltas.data = deltas.data.map(d => -(d as number))
      return { inputs: { starts: vector(-5, 5), limits: vector(-5, 9), deltas } }
    },
  },
  RaggedGather: {
    call: r => {
      const shape = r.shape(1, 3, false)
      const paramsNestedSplits = splits(r, shape[0], r.int(1, 3))
      const rows = paramsNestedSplits[0].data.length - 1
      const indices = r.ints(r.shape(0, 2, false), 0, rows - 1)
      return {
        inputs: {
          paramsNestedSplits,
          paramsDenseValues: r.tensor(shape, r.pick(['float32', 'int32'])),
          indices,
        },
        attrs: { outputRaggedRank: paramsNestedSplits.length + indices.shape.length - 1 },
      }
    },
  },
  RaggedTensorToTensor: {
    call: r => {
      const rows = r.int(1, 4)
      const lengths = Array.from({ length: rows }, () => r.int(0, 4))
      const total = lengths.reduce((a, b) => a + b, 0)
      const inner = r.chance(0.4) ? [r.int(1, 3)] : []
      const dtype = r.pick<Dtype>(['float32', 'int32'])
      const bySplits = r.chance(0.5)
      const starts = [0]
      for (const n of lengths) starts.push(starts[starts.length - 1] + n)
      const ids = lengths.flatMap((n, i) => new Array<number>(n).fill(i))
      return {
        inputs: {
          shape: ints([-1, r.pick([-1, 2, 5]), ...inner]),
          values: r.tensor([total, ...inner], dtype),
          defaultValue: r.tensor([], dtype),
          rowPartitionTensors: bySplits ? [ints(starts)] : [ints([rows], []), ints(ids)],
        },
        attrs: { rowPartitionTypes: bySplits ? ['ROW_SPLITS'] : ['FIRST_DIM_SIZE', 'VALUE_ROWIDS'] },
      }
    },
    // It takes the sizes of inner axes for their numbers.
    plainIsWrong: ({ inputs }) => (inputs.values as Values).shape.length > 1,
  },
  StaticRegexReplace: {
    call: r => ({
      inputs: { x: r.tensor(r.shape(), 'string') },
      attrs: {
        pattern: r.pick(['a', 'b+', '[^a]', '.', 'é', '(a)(b)']),
        rewrite: r.pick(['', 'x', '$1', '日']),
        replaceGlobal: r.chance(0.5),
      },
    }),
  },
  StringNGrams: {
    call: r => {
      const count = r.int(0, 9)
      const inner = ascending(r, r.int(0, 4), count)
      return {
        inputs: { data: r.tensor([count], 'string'), dataSplits: ints([0, ...inner, count]) },
        attrs: {
          separator: r.pick(['', '|', ', ']),
          nGramWidths: r.pick([[1], [2], [1, 3], [2, 2], [5]]),
          leftPad: r.pick(['', 'LP']),
          rightPad: r.pick(['', 'RP']),
          padWidth: r.pick([-1, 0, 1, 3]),
          preserveShortSequences: r.chance(0.5),
        },
      }
    },
  },
  StringSplit: {
    call: r => ({
      inputs: {
        input: r.tensor([r.int(0, 6)], 'string'),
        delimiter: { shape: [], dtype: 'string', data: [r.pick(['', ' ', ',', 'ab', 'a'])] },
      },
      attrs: { skipEmpty: r.chance(0.5) },
    }),
  },
  StringToHashBucketFast: {
    call: r => ({ inputs: { input: r.tensor(r.shape(), 'string') }, attrs: { numBuckets: r.int(1, 1000) } }),
  },
}
