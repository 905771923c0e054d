import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError, VqValueError } from '../../errors.js'
import { dtypeCode, sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast, fill } from './elementwise.js'

/** The coordinates in `indices` [..., depth] over the leading axes of `shape`, as native kernels read them. */
function coordinates(
  indices: TensorInfo,
  shape: readonly number[],
): { count: number; lead: number[]; inner: number } {
  const rank = indices.shape.length
  const depth = rank > 1 ? indices.shape[rank - 1] : 1
  return {
    count: sizeOf(rank > 1 ? indices.shape.slice(0, -1) : indices.shape),
    lead: shape.slice(0, depth),
    inner: sizeOf(shape.slice(depth)),
  }
}

function scatter(
  backend: VqCpuBackend,
  indices: TensorInfo,
  updates: TensorInfo,
  out: TensorInfo,
  add: boolean,
): TensorInfo {
  const { count, lead, inner } = coordinates(indices, out.shape)
  const rows = cast(backend, indices, 'int32')
  const values = cast(backend, updates, out.dtype)
  const single = sizeOf(updates.shape) !== count * inner
  backend.run('Scatter', add, single, dtypeCode(out.dtype), count, lead, rows, inner, values, out)
  for (const x of [rows, values]) backend.disposeData(x.dataId)
  return out
}

// Segments ascend, and the last one says how many there are.
function checkSegments(operation: string, ids: Int32Array): void {
  const wrong = (message: string): VqValueError =>
    new VqValueError({
      operation,
      expected: 'segment ids that are not negative and do not descend',
      received: message,
      remedy: 'Sort the indices by their segment.',
      message,
    })
  const segments = (ids[ids.length - 1] ?? -1) + 1
  if (ids.length > 0 && segments <= 0)
    throw wrong(backend_util.getSparseSegmentReductionNegativeSegmentIdsErrorMessage())
  for (let i = 0; i < ids.length; i++) {
    if (i + 1 < ids.length && ids[i] === ids[i + 1]) continue
    if (ids[i] > ids[i + 1])
      throw wrong(backend_util.getSparseSegmentReductionNonIncreasingSegmentIdsErrorMessage())
    if (ids[i] < 0 || ids[i] >= segments)
      throw wrong(backend_util.getSparseSegmentReductionSegmentIdOutOfRangeErrorMessage(ids[i], segments))
  }
}

const sparseSegments =
  (operation: string, mean: boolean): Kernel =>
  ({ data, indices, segmentIds }, _, backend) => {
    const rank = (name: string, x: TensorInfo, fits: boolean, expected: string): void => {
      if (!fits)
        throw new VqShapeError({
          operation,
          expected: `${name} to be ${expected}`,
          received: `shape [${x.shape}]`,
          remedy: 'Reshape it.',
        })
    }
    rank('data', data, data.shape.length > 0, 'of rank 1 or more')
    rank('indices', indices, indices.shape.length === 1, 'a vector')
    rank(
      'segment ids',
      segmentIds,
      segmentIds.shape.length === 1 && segmentIds.shape[0] === indices.shape[0],
      `a vector of ${indices.shape}`,
    )
    const ids = backend.integers(segmentIds)
    checkSegments(operation, ids)
    const segments = ids.length === 0 ? 0 : ids[ids.length - 1] + 1
    const [rows, ...rest] = data.shape
    const out = backend.allocate([segments, ...rest], data.dtype)
    const sizes = [indices.shape[0], rows, sizeOf(rest), segments]
    backend.run('SparseSegments', mean, dtypeCode(data.dtype), ...sizes, data, indices, segmentIds, out)
    return out
  }

/** Kernels that read and write slices by coordinates. */
export const scatters: KernelTable = {
  GatherNd: ({ params, indices }, _, backend) => {
    const depth = indices.shape[indices.shape.length - 1]
    if (depth > params.shape.length)
      throw new VqShapeError({
        operation: 'GatherNd',
        expected: `at most ${params.shape.length} coordinates, the rank of [${params.shape}]`,
        received: `indices [${indices.shape}]`,
        remedy: 'Let the last axis of the indices name leading axes of x.',
      })
    const shape = [...indices.shape.slice(0, -1), ...params.shape.slice(depth)]
    const out = backend.allocate(shape, params.dtype)
    const count = sizeOf(indices.shape.slice(0, -1))
    const rows = cast(backend, indices, 'int32')
    const [lead, inner] = [params.shape.slice(0, depth), sizeOf(params.shape.slice(depth))]
    backend.run('GatherNd', dtypeCode(params.dtype), count, lead, rows, inner, params, out)
    backend.disposeData(rows.dataId)
    return out
  },
  ScatterNd: ({ indices, updates }, { shape }, backend) =>
    scatter(backend, indices, updates, fill(backend, shape as number[], updates.dtype, 0), true),
  TensorScatterUpdate: ({ tensor, indices, updates }, _, backend) =>
    scatter(backend, indices, updates, backend.copy(tensor), false),
  SparseToDense: ({ sparseIndices, sparseValues, defaultValue }, { outputShape }, backend) => {
    const value = Number((backend.readSync(defaultValue.dataId) as Float32Array)[0])
    const out = fill(backend, outputShape as number[], sparseValues.dtype, value)
    return scatter(backend, sparseIndices, sparseValues, out, false)
  },
  SparseSegmentMean: sparseSegments('SparseSegmentMean', true),
  SparseSegmentSum: sparseSegments('SparseSegmentSum', false),
}
