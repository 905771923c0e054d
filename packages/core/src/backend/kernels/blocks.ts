import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import { dtypeCode, sizeOf, stridesOf } from '../data.js'
import type { KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { fill } from './elementwise.js'
import { copy, slice, transpose, whole } from './movement.js'

/** x seen in one shape, its axes permuted, seen in another. */
function rearrange(
  backend: VqCpuBackend,
  x: TensorInfo,
  from: readonly number[],
  perm: readonly number[],
  to: readonly number[],
): TensorInfo {
  const out = transpose(backend, { ...x, shape: from as number[] }, perm)
  return { ...out, shape: to as number[] }
}

/** x with `before` and `after` mirrored elements along one axis; `edge` 1 leaves the border itself out. */
function mirror(
  backend: VqCpuBackend,
  x: TensorInfo,
  axis: number,
  [before, after]: readonly [number, number],
  edge: number,
): TensorInfo {
  const n = x.shape[axis]
  const from = Int32Array.from({ length: before + n + after }, (_, i) => {
    const at = i - before
    if (at < 0) return -at - 1 + edge
    return at < n ? at : 2 * n - 1 - at - edge
  })
  const indices = backend.tensor(from, [from.length], 'int32')
  const shape = x.shape.map((d, i) => (i === axis ? from.length : d))
  const out = backend.allocate(shape, x.dtype)
  const [outer, inner] = [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis + 1))]
  backend.run('GatherV2', dtypeCode(x.dtype), 1, outer, n, from.length, inner, x, indices, out)
  backend.disposeData(indices.dataId)
  return out
}

/** Kernels that regroup axes, pad by reflection, or build small tensors from sizes. */
export const blocks: KernelTable = {
  BatchToSpaceND: ({ x }, { blockShape, crops }, backend) => {
    const block = blockShape as number[]
    const prod = sizeOf(block)
    const from = backend_util.getReshaped(x.shape, block, prod)
    const perm = backend_util.getPermuted(from.length, block.length)
    const to = backend_util.getReshapedPermuted(x.shape, block, prod)
    const grown = rearrange(backend, x, from, perm, to)
    const cut = (i: number): number[] => (crops as number[][])[i - 1] ?? [0, 0]
    const begin = to.map((_, i) => cut(i)[0])
    const size = to.map((d, i) => d - cut(i)[0] - cut(i)[1])
    const out = slice(backend, grown, begin, size)
    backend.disposeData(grown.dataId)
    return out
  },
  SpaceToBatchND: ({ x }, { blockShape, paddings }, backend) => {
    const block = blockShape as number[]
    const pads = x.shape.map((_, i) => (paddings as number[][])[i - 1] ?? [0, 0])
    const shape = x.shape.map((d, i) => d + pads[i][0] + pads[i][1])
    const padded = fill(backend, shape, x.dtype, 0)
    const strides = stridesOf(shape)
    const offset = pads.reduce((at, [before], i) => at + before * strides[i], 0)
    if (sizeOf(x.shape) > 0) copy(backend, x.shape, whole(x), { tensor: padded, offset, strides })
    const from = backend_util.getReshaped(shape, block, sizeOf(block), false)
    const perm = backend_util.getPermuted(from.length, block.length, false)
    const to = backend_util.getReshapedPermuted(shape, block, sizeOf(block), false)
    const out = rearrange(backend, padded, from, perm, to)
    backend.disposeData(padded.dataId)
    return out
  },
  DepthToSpace: ({ x }, { blockSize, dataFormat }, backend) => {
    const s = blockSize as number
    const [b] = x.shape
    if (dataFormat === 'NCHW') {
      const [, c, h, w] = x.shape
      const depth = c / (s * s)
      const to = [b, depth, h * s, w * s]
      return rearrange(backend, x, [b, s, s, depth, h, w], [0, 3, 4, 1, 5, 2], to)
    }
    const [, h, w, c] = x.shape
    const depth = c / (s * s)
    return rearrange(backend, x, [b, h, w, s, s, depth], [0, 1, 3, 2, 4, 5], [b, h * s, w * s, depth])
  },
  MirrorPad: ({ x }, { paddings, mode }, backend) => {
    const edge = mode === 'reflect' ? 1 : 0
    let out = backend.alias(x, x.shape)
    for (const [axis, pair] of (paddings as [number, number][]).entries()) {
      if (pair[0] === 0 && pair[1] === 0) continue
      if (pair.some(p => p < 0 || p > x.shape[axis] - edge))
        throw new VqShapeError({
          operation: 'MirrorPad',
          expected: `paddings of 0 to ${x.shape[axis] - edge} on axis ${axis} of [${x.shape}]`,
          received: `[${pair}]`,
          remedy: 'Pad by less than the axis is long.',
        })
      const next = mirror(backend, out, axis, pair, edge)
      backend.disposeData(out.dataId)
      out = next
    }
    return out
  },
  Diag: ({ x }, _, backend) => {
    const n = sizeOf(x.shape)
    const out = fill(backend, [...x.shape, ...x.shape], x.dtype, 0)
    if (n > 0)
      copy(backend, [n], { tensor: x, offset: 0, strides: [1] }, { tensor: out, offset: 0, strides: [n + 1] })
    return out
  },
  BroadcastArgs: ({ s0, s1 }, _, backend) => {
    const [a, b] = [s0, s1].map(s => Array.from(backend.integers(s)))
    const shape = backend_util.assertAndGetBroadcastShape(a, b)
    return backend.tensor(Int32Array.from(shape), [shape.length], 'int32')
  },
  LinSpace: (_, { start, stop, num }, backend) => {
    const count = num as number
    const step = count > 1 ? ((stop as number) - (start as number)) / (count - 1) : 0
    const out = backend.allocate([count], 'float32')
    backend.run('Range', dtypeCode('float32'), count, start as number, step, out)
    return out
  },
}
