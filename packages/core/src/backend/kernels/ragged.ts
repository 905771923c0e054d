import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError, VqValueError } from '../../errors.js'
import { dtypeCode, sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast } from './elementwise.js'

type Numbers = ArrayLike<number>
const { RowPartitionType } = backend_util
const mostValues = 2 ** 28 // of a range whose size nobody has seen

function wrong(operation: string, received: string): VqValueError {
  return new VqValueError({
    operation,
    expected: 'the row splits or row ids of a ragged tensor',
    received,
    remedy: 'Check the partitions against the values.',
    message: received,
  })
}

function checkSplits(splits: readonly Numbers[], rows: number): void {
  splits.forEach((s, dim) => {
    const limit = dim === splits.length - 1 ? rows : splits[dim + 1].length - 1
    if (s.length === 0) throw wrong('RaggedGather', 'Ragged splits may not be empty')
    if (s[0] < 0) throw wrong('RaggedGather', 'Ragged splits must be non-negative')
    for (let i = 1; i < s.length; i++)
      if (s[i] < s[i - 1]) throw wrong('RaggedGather', 'Ragged splits must be sorted in ascending order')
    if (s[s.length - 1] > limit) throw wrong('RaggedGather', 'Ragged splits must not point past values')
  })
}

/** The rows of x that `rows` names. */
function takeRows(backend: VqCpuBackend, x: TensorInfo, rows: readonly number[]): TensorInfo {
  const indices = backend.tensor(Int32Array.from(rows), [rows.length], 'int32')
  const [count, ...rest] = x.shape
  const out = backend.allocate([rows.length, ...rest], x.dtype)
  backend.run('GatherV2', dtypeCode(x.dtype), 1, 1, count, rows.length, sizeOf(rest), x, indices, out)
  backend.disposeData(indices.dataId)
  return out
}

function raggedGather(
  backend: VqCpuBackend,
  nested: readonly Numbers[],
  values: TensorInfo,
  indices: TensorInfo,
): TensorInfo[] {
  checkSplits(nested, values.shape[0])
  const wanted = backend.integers(indices)
  // The dense axes of the indices become ragged axes of equal rows.
  const lead = indices.shape.slice(0, -1)
  const out = lead.map((_, dim): number[] =>
    Array.from({ length: sizeOf(lead.slice(0, dim + 1)) + 1 }, (_, i) => i * indices.shape[dim + 1]),
  )
  const splits = nested.map((): number[] => [0])
  const rows: number[] = []
  for (const [i, index] of wanted.entries()) {
    if (index < 0 || index >= nested[0].length - 1)
      throw wrong('RaggedGather', `indices[${i}] = ${index} is not in [0, ${nested[0].length - 1})`)
    let [start, limit] = [index, index + 1]
    for (const [dim, s] of nested.entries()) {
      const own = splits[dim]
      const shift = own[own.length - 1] - s[start]
      for (let j = start; j < limit; j++) own.push(s[j + 1] + shift)
      start = s[start]
      limit = s[limit]
    }
    for (let j = start; j < limit; j++) rows.push(j)
  }
  // A scalar index takes its row's own splits away.
  const kept = indices.shape.length === 0 ? splits.slice(1) : [...out, ...splits]
  const tensors = kept.map(s => backend.tensor(Int32Array.from(s), [s.length], 'int32'))
  return [...tensors, takeRows(backend, values, rows)]
}

/** The widest row of a partition. */
function widest(type: backend_util.RowPartitionType, partition: Numbers): number {
  if (type === RowPartitionType.ROW_SPLITS) {
    let width = 0
    for (let i = 1; i < partition.length; i++) width = Math.max(width, partition[i] - partition[i - 1])
    return width
  }
  if (type !== RowPartitionType.VALUE_ROWIDS)
    throw wrong('RaggedTensorToTensor', `partition type ${RowPartitionType[type]}`)
  let [width, run] = [0, 0]
  for (let i = 0; i < partition.length; i++) {
    run = i > 0 && partition[i] === partition[i - 1] ? run + 1 : 1
    width = Math.max(width, run)
  }
  return width
}

const mostRows = 1 << 26

/** Where the rows of the level above begin in the dense tensor, -1 for those that fall outside. */
interface Parents {
  readonly count: number
  at(row: number): number
}

/** Where each element of a ragged axis goes: −1 where its row or its column lies outside the result. */
function places(
  type: backend_util.RowPartitionType,
  partition: Numbers,
  parents: Parents,
  step: number,
  width: number,
): number[] {
  const out: number[] = []
  const put = (row: number, column: number): void => {
    if (!(row >= 0 && row < parents.count))
      throw wrong('RaggedTensorToTensor', `row ${row} of ${parents.count}`)
    const start = parents.at(row)
    out.push(start < 0 || column >= width ? -1 : start + column * step)
  }
  if (type === RowPartitionType.ROW_SPLITS) {
    if (partition.length > 0 && partition[partition.length - 1] > mostRows)
      throw wrong('RaggedTensorToTensor', `${partition[partition.length - 1]} rows, more than can be held`)
    for (let row = 0; row + 1 < partition.length; row++)
      if (partition[row + 1] < partition[row])
        throw wrong('RaggedTensorToTensor', 'row splits that do not ascend')
    for (let row = 0; row + 1 < partition.length; row++)
      for (let i = partition[row]; i < partition[row + 1]; i++) put(row, i - partition[row])
    if (partition.length > 0 && out.length !== partition[partition.length - 1])
      throw wrong('RaggedTensorToTensor', 'Invalid row split size.')
  } else {
    let column = 0
    for (let i = 0; i < partition.length; i++) {
      column = i > 0 && partition[i] === partition[i - 1] ? column + 1 : 0
      put(partition[i], column)
    }
  }
  return out
}

function denseShape(wanted: Numbers, rank: number): number[] {
  if (rank === 0) {
    if (wanted[0] !== -1)
      throw wrong('RaggedTensorToTensor', 'a scalar shape: the only valid one is -1, the fully unknown shape')
    return []
  }
  return Array.from(wanted, d => {
    if (d < -1) throw wrong('RaggedTensorToTensor', `Dimension ${d} must be >= -1`)
    return d
  })
}

// The wanted shape, what it leaves open of the values' own axes filled in. (tfjs-core's function of that purpose takes the
// sizes of axes for their numbers.)
function combined(depth: number, wanted: readonly number[], values: readonly number[]): number[] {
  const rank = depth + values.length
  const size = wanted.length === 0 ? new Array<number>(rank).fill(-1) : [...wanted]
  const fits = size.length === rank && values.every((d, i) => i === 0 || [-1, d].includes(size[depth + i]))
  if (!fits)
    throw new VqShapeError({
      operation: 'RaggedTensorToTensor',
      expected: `a shape of rank ${rank} that ends in the values' own axes [${values.slice(1)}]`,
      received: `[${wanted}]`,
      remedy: 'Leave axes open with -1.',
      message: `rt input.shape and shape=${wanted} are incompatible: rt input.rank = ${rank}, values [${values}]`,
    })
  for (let i = 1; i < values.length; i++) size[depth + i] = values[i]
  return size
}

/** Kernels of ragged tensors: their partitions are read, their values stay where they are. */
export const ragged: KernelTable = {
  RaggedGather: (inputs, _, backend) => {
    const nested = inputs.paramsNestedSplits as unknown as TensorInfo[]
    const { paramsDenseValues: values, indices } = inputs
    if (nested.length === 0) throw wrong('RaggedGather', 'paramsNestedSplits must be non empty')
    if (nested[0].shape.length === 0) throw wrong('RaggedGather', 'Split tensors must not be scalars')
    if (values.shape.length === 0) throw wrong('RaggedGather', 'params.rank must be nonzero')
    return raggedGather(
      backend,
      nested.map(t => backend.integers(t)),
      values,
      indices,
    )
  },
  RaggedRange: ({ starts, limits, deltas }, _, backend) => {
    const given = [starts, limits, deltas]
    const lengths = given.flatMap(t => (t.shape.length === 0 ? [] : t.shape))
    const matrix = given.findIndex(t => t.shape.length > 1)
    if (matrix >= 0 || lengths.some(n => n !== lengths[0]))
      throw new VqShapeError({
        operation: 'RaggedRange',
        expected: 'scalars or vectors of one length',
        received: given.map(t => `[${t.shape}]`).join(', '),
        remedy: 'Reshape them.',
        message:
          matrix >= 0
            ? `${['starts', 'limits', 'deltas'][matrix]} must be a scalar or vector`
            : 'starts, limits, and deltas must have the same shape',
      })
    const read = given.map(t => backend.readSync(t.dataId) as Float32Array)
    const at = (which: number, row: number): number => read[which][given[which].shape.length === 0 ? 0 : row]
    const splits = new Int32Array((lengths[0] ?? 1) + 1)
    for (let row = 0; row + 1 < splits.length; row++) {
      const [start, limit, delta] = [at(0, row), at(1, row), at(2, row)]
      if (delta === 0) throw wrong('RaggedRange', 'Requires delta != 0')
      const size = Math.max(0, Math.ceil((limit - start) / delta))
      if (!(splits[row] + size <= mostValues))
        throw wrong(
          'RaggedRange',
          `Requires ((limit - start) / delta) <= ${size > 2 ** 31 - 1 ? 2 ** 31 - 1 : mostValues}`,
        )
      splits[row + 1] = splits[row] + size
    }
    const total = splits[splits.length - 1]
    const dense = starts.dtype === 'int32' ? new Int32Array(total) : new Float32Array(total)
    for (let row = 0; row + 1 < splits.length; row++)
      for (let i = splits[row]; i < splits[row + 1]; i++)
        dense[i] = at(0, row) + (i - splits[row]) * at(2, row)
    return [
      backend.tensor(splits, [splits.length], 'int32'),
      backend.tensor(dense, [total], starts.dtype === 'int32' ? 'int32' : 'float32'),
    ]
  },
  RaggedTensorToTensor: (inputs, { rowPartitionTypes }, backend) => {
    const { shape, values, defaultValue } = inputs
    const tensors = inputs.rowPartitionTensors as unknown as TensorInfo[]
    const types = backend_util.getRowPartitionTypesHelper(rowPartitionTypes as string[])
    const partitions = tensors.map(t => backend.integers(t))
    const depth = backend_util.getRaggedRank(types)
    if (types.length === 0 || partitions[0].length === 0)
      throw wrong('RaggedTensorToTensor', 'no first partition, or an empty one')
    if (types[0] === RowPartitionType.VALUE_ROWIDS)
      throw wrong('RaggedTensorToTensor', 'Cannot handle VALUE_ROWIDS in first dimension.')
    const sized = types[0] === RowPartitionType.FIRST_DIM_SIZE
    const rows = sized ? partitions[0][0] : partitions[0].length - 1
    const of = (dim: number): number => (sized ? dim + 1 : dim)
    backend_util.validateDefaultValueShape(defaultValue.shape, values.shape)
    const wanted = denseShape(backend.integers(shape), shape.shape.length)
    const size = combined(depth, wanted, values.shape)
    if (size[0] < 0) size[0] = rows
    for (let i = 1; i <= depth; i++)
      if (size[i] < 0) size[i] = widest(types[of(i - 1)], partitions[of(i - 1)])
    const outer = size.slice(0, depth + 1)
    const stride = sizeOf(outer.slice(1))
    let parents: Parents = { count: rows, at: row => (row < size[0] ? row * stride : -1) }
    let at: number[] | undefined
    for (let i = 1; i <= depth; i++) {
      const step = sizeOf(outer.slice(i + 1))
      const found = places(types[of(i - 1)], partitions[of(i - 1)], parents, step, size[i])
      parents = { count: found.length, at: row => found[row] }
      at = found
    }
    if (at === undefined) {
      if (rows > mostRows) throw wrong('RaggedTensorToTensor', `${rows} rows, more than can be held`)
      at = Array.from({ length: Math.max(0, rows) }, (_, i) => (i < size[0] ? i * stride : -1))
    }
    return spread(backend, values, defaultValue, size, depth + 1, at)
  },
}

/** Values at their places in a tensor of `size`, the default value in all others. */
function spread(
  backend: VqCpuBackend,
  values: TensorInfo,
  defaultValue: TensorInfo,
  size: number[],
  outer: number,
  at: readonly number[],
): TensorInfo {
  const [places, element] = [sizeOf(size.slice(0, outer)), size.slice(outer)]
  const inner = sizeOf(element)
  const filler = cast(backend, defaultValue, values.dtype)
  const out = backend.allocate(size, values.dtype)
  const shape = [places, ...element]
  const strides = backend_util.assertAndGetBroadcastShape(element, filler.shape)
  if (sizeOf(strides) !== inner) throw wrong('RaggedTensorToTensor', 'a default value larger than an element')
  if (sizeOf(shape) > 0) {
    const lead = element.length - filler.shape.length
    let step = 1
    const from = new Array<number>(shape.length).fill(0)
    for (let i = filler.shape.length - 1; i >= 0; i--) {
      if (filler.shape[i] !== 1) from[1 + lead + i] = step
      step *= filler.shape[i]
    }
    const to = shape.map((_, i) => sizeOf(shape.slice(i + 1)))
    backend.run('StridedCopy', dtypeCode(values.dtype), shape, filler, 0, ...from, out, 0, ...to)
  }
  const kept = at.flatMap((place, i) => (place >= 0 ? [i] : []))
  const rows = takeRows(backend, { ...values, shape: [values.shape[0], inner] }, kept)
  const indices = backend.tensor(
    Int32Array.from(kept, i => at[i]),
    [kept.length, 1],
    'int32',
  )
  backend.run(
    'Scatter',
    false,
    false,
    dtypeCode(values.dtype),
    kept.length,
    [places],
    indices,
    inner,
    rows,
    out,
  )
  for (const x of [filler, rows, indices]) backend.disposeData(x.dataId)
  return out
}
