import { type DataType, type TensorInfo, upcastType, util } from '@tensorflow/tfjs-core'
import { dtypeCode, sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast } from './elementwise.js'

const cumulative =
  (product: boolean): Kernel =>
  ({ x }, { axis, exclusive, reverse }, backend) => {
    const at = util.parseAxisParam((axis as number | undefined) ?? 0, x.shape)[0]
    const dtype = upcastType(x.dtype, 'int32')
    const source = cast(backend, x, dtype)
    const out = backend.allocate(x.shape, dtype)
    const [outer, length, inner] = [x.shape.slice(0, at), x.shape.slice(at, at + 1), x.shape.slice(at + 1)]
    const flags = [product, exclusive === true, reverse === true]
    backend.run(
      'Cumulative',
      ...flags,
      dtypeCode(dtype),
      sizeOf(outer),
      sizeOf(length),
      sizeOf(inner),
      source,
      out,
    )
    backend.disposeData(source.dataId)
    return out
  }

function bincount(
  backend: VqCpuBackend,
  x: TensorInfo,
  weights: TensorInfo,
  size: number,
  binary: boolean,
): TensorInfo {
  const [rows, columns] = x.shape.length === 2 ? x.shape : [1, sizeOf(x.shape)]
  const dtype = weights.dtype === 'bool' ? 'int32' : weights.dtype
  const out = backend.allocate(x.shape.length === 2 ? [rows, size] : [size], dtype)
  const [source, scale] = [cast(backend, x, 'int32'), cast(backend, weights, dtype)]
  const given = sizeOf(weights.shape) > 0 ? scale : null
  backend.run('Bincount', dtypeCode(dtype), binary, rows, columns, size, source, given, out)
  for (const t of [source, scale]) backend.disposeData(t.dataId)
  return out
}

function unique(backend: VqCpuBackend, x: TensorInfo, axis: unknown): TensorInfo[] {
  const at = util.parseAxisParam((axis as number | undefined) ?? 0, x.shape)[0] ?? 0
  const [outer, inner] = [x.shape.slice(0, at), x.shape.slice(at + 1)]
  const length = x.shape[at] ?? 1
  const indices = backend.allocate([length], 'int32')
  const firsts = backend.allocate([length], 'int32')
  const sizes = [sizeOf(outer), length, sizeOf(inner)]
  backend.run('Unique', dtypeCode(x.dtype), ...sizes, x, indices, firsts)
  const count = backend.core.args[0]
  const values = backend.allocate([...outer, count, ...inner], x.dtype)
  backend.run('GatherV2', dtypeCode(x.dtype), 1, sizes[0], length, count, sizes[2], x, firsts, values)
  backend.disposeData(firsts.dataId)
  return [values, indices]
}

/** Kernels that compare or count elements along an axis. */
export const order: KernelTable = {
  Cumsum: cumulative(false),
  Cumprod: cumulative(true),
  Bincount: ({ x, weights }, { size }, backend) => bincount(backend, x, weights, size as number, false),
  DenseBincount: ({ x, weights }, { size, binaryOutput }, backend) =>
    bincount(backend, x, weights, size as number, binaryOutput === true),
  TopK: ({ x }, { k }, backend) => {
    const lead = x.shape.slice(0, -1)
    const columns = x.shape[x.shape.length - 1]
    const shape = [...lead, k as number]
    const values = backend.allocate(shape, x.dtype)
    const indices = backend.allocate(shape, 'int32')
    backend.run('TopK', dtypeCode(x.dtype), sizeOf(lead), columns, k as number, x, values, indices)
    return [values, indices]
  },
  Unique: ({ x }, { axis }, backend) => unique(backend, x, axis),
  SearchSorted: ({ sortedSequence, values }, { side }, backend) => {
    const dtype: DataType = upcastType(sortedSequence.dtype, values.dtype)
    const [sorted, wanted] = [cast(backend, sortedSequence, dtype), cast(backend, values, dtype)]
    const out = backend.allocate(values.shape, 'int32')
    const [rows, length] = sortedSequence.shape
    const sizes = [rows, length, values.shape[1]]
    backend.run('SearchSorted', dtypeCode(dtype), side === 'right', ...sizes, sorted, wanted, out)
    for (const t of [sorted, wanted]) backend.disposeData(t.dataId)
    return out
  },
  Multinomial: ({ logits }, { numSamples, seed, normalized }, backend) => {
    const [rows, columns] = logits.shape
    const out = backend.allocate([rows, numSamples as number], 'int32')
    const source = cast(backend, logits, 'float32')
    // tfjs's seed may be a fraction: the bits of the number are the seed.
    const [low, high] = new Uint32Array(Float64Array.of(seed as number).buffer)
    const sizes = [rows, columns, numSamples as number]
    backend.run('Multinomial', low, high, normalized === true, ...sizes, source, out)
    backend.disposeData(source.dataId)
    return out
  },
}
