import { type DataType, type TensorInfo, util } from '@tensorflow/tfjs-core'
import { dtypeCode, sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast } from './elementwise.js'
import { transpose } from './movement.js'
import { turnInto } from './windows.js'

interface Reduction {
  /** x with the reduced axes next to each other; dispose it. */
  source: TensorInfo
  outer: number
  axis: number
  inner: number
  shape: number[]
}

// Brings the reduced axes together: [outer, axis, inner]. Axes that are already neighbours cost nothing.
function plan(backend: VqCpuBackend, x: TensorInfo, axis: unknown, keepDims: boolean): Reduction {
  const axes = util.parseAxisParam(axis as number | number[], x.shape).sort((a, b) => a - b)
  const reduced = new Set(axes)
  const neighbours = axes.every((a, i) => a === axes[0] + i)
  const kept = x.shape.map((_, i) => i).filter(i => !reduced.has(i))
  const shape = keepDims ? x.shape.map((d, i) => (reduced.has(i) ? 1 : d)) : kept.map(i => x.shape[i])
  const length = sizeOf(axes.map(a => x.shape[a]))
  if (neighbours) {
    const first = axes[0] ?? 0
    return {
      source: backend.alias(x, x.shape),
      outer: sizeOf(x.shape.slice(0, first)),
      axis: length,
      inner: sizeOf(x.shape.slice(first + axes.length)),
      shape,
    }
  }
  return {
    source: transpose(backend, x, [...kept, ...axes]),
    outer: sizeOf(kept.map(i => x.shape[i])),
    axis: length,
    inner: 1,
    shape,
  }
}

function reduce(
  backend: VqCpuBackend,
  x: TensorInfo,
  attrs: Record<string, unknown>,
  dtype: DataType,
  call: (r: Reduction, out: TensorInfo) => void,
): TensorInfo {
  const r = plan(backend, x, attrs.axis, attrs.keepDims === true)
  const out = backend.allocate(r.shape, dtype)
  call(r, out)
  backend.disposeData(r.source.dataId)
  return out
}

function sum(
  backend: VqCpuBackend,
  x: TensorInfo,
  attrs: Record<string, unknown>,
  mean: boolean,
): TensorInfo {
  const source = mean
    ? cast(backend, x, 'float32')
    : x.dtype === 'bool'
      ? cast(backend, x, 'int32')
      : cast(backend, x, x.dtype)
  const out = reduce(backend, source, attrs, source.dtype, (r, result) =>
    backend.run(
      'Sum',
      dtypeCode(source.dtype),
      r.outer,
      r.axis,
      r.inner,
      mean ? 1 / r.axis : 1,
      r.source,
      result,
    ),
  )
  backend.disposeData(source.dataId)
  return out
}

const extreme =
  (which: number): Kernel =>
  ({ x }, attrs, backend) => {
    // The largest of booleans is the largest of 0 and 1.
    const source = cast(backend, x, x.dtype === 'bool' ? 'int32' : x.dtype)
    const out = reduce(backend, source, attrs, source.dtype, (r, result) =>
      backend.run('Extreme', which, dtypeCode(source.dtype), r.outer, r.axis, r.inner, r.source, result),
    )
    backend.disposeData(source.dataId)
    return turnInto(backend, out, x.dtype)
  }

const logical =
  (which: number): Kernel =>
  ({ x }, attrs, backend) =>
    reduce(backend, x, attrs, 'bool', (r, out) =>
      backend.run('Logical', which, r.outer, r.axis, r.inner, r.source, out),
    )

const argExtreme =
  (which: number): Kernel =>
  ({ x }, attrs, backend) => {
    const r = plan(backend, x, attrs.axis, false)
    const out = backend.allocate(r.shape, 'int32')
    backend.run('ArgExtreme', which, dtypeCode(x.dtype), r.outer, r.axis, r.inner, r.source, out)
    backend.disposeData(r.source.dataId)
    return out
  }

const softmax =
  (which: number): Kernel =>
  ({ logits }, { dim }, backend) => {
    const rank = logits.shape.length
    const axis =
      ((dim as number | undefined) ?? -1) < 0 ? rank + ((dim as number | undefined) ?? -1) : (dim as number)
    if (axis !== rank - 1) {
      const order = [...logits.shape.keys()]
      order[axis] = rank - 1
      order[rank - 1] = axis
      const turned = transpose(backend, logits, order)
      const result = softmax(which)({ logits: turned }, { dim: rank - 1 }, backend) as TensorInfo
      const out = transpose(backend, result, order)
      backend.disposeData(turned.dataId)
      backend.disposeData(result.dataId)
      return out
    }
    const columns = logits.shape[rank - 1]
    const out = backend.allocate(logits.shape, 'float32')
    backend.run('Softmax', which, sizeOf(logits.shape) / Math.max(1, columns), columns, logits, out)
    return out
  }

/** Kernels that reduce axes. */
export const reductions: KernelTable = {
  Sum: ({ x }, attrs, backend) => sum(backend, x, attrs, false),
  Mean: ({ x }, attrs, backend) => sum(backend, x, attrs, true),
  Max: ({ x }, { reductionIndices, keepDims }, backend) =>
    extreme(0)({ x }, { axis: reductionIndices, keepDims }, backend),
  Min: extreme(1),
  Prod: extreme(2),
  All: logical(0),
  Any: logical(1),
  ArgMax: argExtreme(0),
  ArgMin: argExtreme(1),
  Softmax: softmax(0),
  LogSoftmax: ({ logits }, { axis }, backend) => softmax(1)({ logits }, { dim: axis }, backend),
}
