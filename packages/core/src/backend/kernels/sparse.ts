import { backend_util, type DataType, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqMemoryError, VqShapeError, VqValueError } from '../../errors.js'
import { sizeOf, stridesOf, type TypedValues } from '../data.js'
import type { KernelTable } from '../kernel.js'

const mostRows = 2 ** 28

function rank(operation: string, name: string, x: TensorInfo, wanted: number): void {
  if (x.shape.length !== wanted)
    throw new VqShapeError({
      operation,
      expected: `${name} of rank ${wanted}`,
      received: `shape [${x.shape}]`,
      remedy: 'Reshape it.',
    })
}

function wrong(operation: string, received: string): VqValueError {
  return new VqValueError({
    operation,
    expected: 'indices and shapes that fit each other',
    received,
    remedy: 'Check the indices against the dense shape.',
    message: received,
  })
}

function reshaped(inputShape: number[], wanted: number[]): number[] {
  const operation = 'SparseReshape'
  const open = wanted.flatMap((d, i) => (d === -1 ? [i] : []))
  if (open.length > 1)
    throw wrong(
      operation,
      backend_util.getSparseReshapeMultipleNegativeOneOutputDimErrorMessage(open[0], open[1]),
    )
  const negative = wanted.findIndex(d => d < -1)
  if (negative >= 0)
    throw wrong(
      operation,
      backend_util.getSparseReshapeNegativeOutputDimErrorMessage(negative, wanted[negative]),
    )
  const size = sizeOf(inputShape)
  const shape = wanted.map(d => (d === -1 ? 1 : d))
  if (open.length === 1) {
    const known = sizeOf(shape)
    if (known === 0)
      throw wrong(operation, backend_util.getSparseReshapeEmptyTensorZeroOutputDimErrorMessage())
    if (size % known !== 0)
      throw wrong(operation, backend_util.getSparseReshapeInputOutputMultipleErrorMessage(inputShape, shape))
    shape[open[0]] = size / known
  }
  if (sizeOf(shape) !== size)
    throw wrong(operation, backend_util.getSparseReshapeInputOutputMismatchErrorMessage(inputShape, shape))
  return shape
}

/** Kernels of tensors kept as lists of indices and values; the lists are read. */
export const sparse: KernelTable = {
  SparseReshape: ({ inputIndices, inputShape, newShape }, _, backend) => {
    rank('SparseReshape', 'input indices', inputIndices, 2)
    rank('SparseReshape', 'input shape', inputShape, 1)
    rank('SparseReshape', 'target shape', newShape, 1)
    const read = (x: TensorInfo): number[] => Array.from(backend.integers(x))
    const from = read(inputShape)
    const to = reshaped(from, read(newShape))
    const indices = read(inputIndices)
    const [strides, outStrides] = [stridesOf(from), stridesOf(to)]
    const count = inputIndices.shape[0]
    const out = new Int32Array(count * to.length)
    for (let i = 0; i < count; i++) {
      let flat = strides.reduce((sum, step, d) => sum + indices[i * from.length + d] * step, 0)
      for (let d = 0; d < to.length; d++) {
        out[i * to.length + d] = Math.trunc(flat / outStrides[d])
        flat %= outStrides[d]
      }
    }
    return [
      backend.tensor(out, [count, to.length], 'int32'),
      backend.tensor(Int32Array.from(to), [to.length], 'int32'),
    ]
  },
  SparseFillEmptyRows: ({ indices, values, denseShape, defaultValue }, _, backend) => {
    const operation = 'SparseFillEmptyRows'
    rank(operation, 'the dense shape', denseShape, 1)
    rank(operation, 'indices', indices, 2)
    rank(operation, 'values', values, 1)
    rank(operation, 'the default value', defaultValue, 0)
    const [count, width] = indices.shape
    const at = backend.integers(indices)
    if (width === 0 || denseShape.shape[0] !== width)
      throw wrong(operation, `indices of ${width} axes for a dense shape of ${denseShape.shape[0]}`)
    const rows = backend.integers(denseShape)[0]
    if (rows === 0 && count !== 0)
      throw wrong(operation, backend_util.getSparseFillEmptyRowsIndicesDenseShapeMismatch(count))
    if (rows < 0 || rows > mostRows || count > mostRows)
      throw new VqMemoryError({
        operation,
        expected: `0 to ${mostRows} rows, each of which gets an entry`,
        received: `a dense shape of ${rows} rows`,
        remedy: 'Drop or renumber the empty rows.',
      })
    // Entries by row, in their order within a row: next[row] is where the row's next entry goes.
    const next = new Int32Array(rows + 1)
    for (let i = 0; i < count; i++) {
      const row = at[i * width]
      if (row < 0)
        throw wrong(operation, backend_util.getSparseFillEmptyRowsNegativeIndexErrorMessage(i, row))
      if (row >= rows)
        throw wrong(operation, backend_util.getSparseFillEmptyRowsOutOfRangeIndexErrorMessage(i, row, rows))
      next[row + 1]++
    }
    const empty = new Uint8Array(rows)
    for (let row = 0; row < rows; row++) {
      empty[row] = Number(next[row + 1] === 0)
      next[row + 1] += next[row] + empty[row]
    }
    const total = next[rows]
    const source = backend.readSync(values.dataId) as Float32Array
    const missing = (backend.readSync(defaultValue.dataId) as Float32Array)[0]
    const outValues = empties(values.dtype, total).fill(missing)
    const outIndices = new Int32Array(total * width)
    for (let row = 0; row < rows; row++) if (empty[row] === 1) outIndices[next[row] * width] = row
    const back = new Int32Array(count)
    for (let i = 0; i < count; i++) {
      const to = next[at[i * width]]++
      outIndices.set(at.subarray(i * width, (i + 1) * width), to * width)
      outValues[to] = source[i]
      back[i] = to
    }
    return [
      backend.tensor(outIndices, [total, width], 'int32'),
      backend.tensor(outValues, [total], values.dtype),
      backend.tensor(empty, [rows], 'bool'),
      backend.tensor(back, [count], 'int32'),
    ]
  },
}

function empties(dtype: DataType, length: number): TypedValues {
  if (dtype === 'int32') return new Int32Array(length)
  return dtype === 'bool' ? new Uint8Array(length) : new Float32Array(length)
}
