import { backend_util, type DataType, slice_util, type TensorInfo, util } from '@tensorflow/tfjs-core'
import { VqShapeError, VqValueError } from '../../errors.js'
import { dtypeCode, sizeOf, stridesOf } from '../data.js'
import type { KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { cast, fill } from './elementwise.js'

export interface View {
  tensor: TensorInfo
  offset: number
  strides: readonly number[]
}

/** Copies an array of `shape` from one strided view to another. */
export function copy(backend: VqCpuBackend, shape: readonly number[], from: View, to: View): void {
  const code = dtypeCode(from.tensor.dtype)
  backend.run(
    'StridedCopy',
    code,
    shape,
    from.tensor,
    from.offset,
    ...from.strides,
    to.tensor,
    to.offset,
    ...to.strides,
  )
}

export const whole = (tensor: TensorInfo): View => ({ tensor, offset: 0, strides: stridesOf(tensor.shape) })

export function transpose(backend: VqCpuBackend, x: TensorInfo, perm: readonly number[]): TensorInfo {
  const strides = stridesOf(x.shape)
  const shape = perm.map(p => x.shape[p])
  const out = backend.allocate(shape, x.dtype)
  copy(backend, shape, { tensor: x, offset: 0, strides: perm.map(p => strides[p]) }, whole(out))
  return out
}

/** The part of x that starts at `begin` and steps by `step` (1 unless given, negative allowed). */
export function slice(
  backend: VqCpuBackend,
  x: TensorInfo,
  begin: readonly number[],
  size: readonly number[],
  step: readonly number[] = size.map(() => 1),
): TensorInfo {
  const strides = stridesOf(x.shape)
  const out = backend.allocate(size, x.dtype)
  const offset = begin.reduce((at, b, i) => at + b * strides[i], 0)
  copy(backend, size, { tensor: x, offset, strides: strides.map((s, i) => s * step[i]) }, whole(out))
  return out
}

// The result has the first part's dtype, as on tfjs's own backends.
export function concat(backend: VqCpuBackend, given: TensorInfo[], axis: number): TensorInfo {
  const { shape: first } = given[0]
  for (const { shape } of given)
    if (shape.length !== first.length || shape.some((d, i) => i !== axis && d !== first[i]))
      throw new VqShapeError({
        operation: 'Concat',
        expected: `parts that differ from [${first}] on axis ${axis} alone`,
        received: `[${shape}]`,
        remedy: 'Pad or reshape them.',
      })
  const parts = given.map(part => cast(backend, part, given[0].dtype))
  const shape = backend_util.computeOutShape(
    parts.map(p => p.shape),
    axis,
  )
  const out = backend.allocate(shape, parts[0].dtype)
  const strides = stridesOf(shape)
  let at = 0
  for (const part of parts) {
    if (sizeOf(part.shape) > 0)
      copy(backend, part.shape, whole(part), { tensor: out, offset: at * strides[axis], strides })
    at += part.shape[axis]
  }
  for (const part of parts) backend.disposeData(part.dataId)
  return out
}

function split(backend: VqCpuBackend, x: TensorInfo, sizes: readonly number[], axis: number): TensorInfo[] {
  let at = 0
  return sizes.map(size => {
    const begin = x.shape.map((_, i) => (i === axis ? at : 0))
    at += size
    return slice(
      backend,
      x,
      begin,
      x.shape.map((d, i) => (i === axis ? size : d)),
    )
  })
}

const nonNegative = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** Kernels that move or view data without computing on it. */
export const movement: KernelTable = {
  Identity: ({ x }, _, backend) => backend.alias(x, x.shape),
  Reshape: ({ x }, { shape }, backend) => {
    const wanted = Array.isArray(shape) ? util.inferFromImplicitShape(shape, sizeOf(x.shape)) : undefined
    if (wanted === undefined || sizeOf(wanted) !== sizeOf(x.shape))
      throw new VqShapeError({
        operation: 'Reshape',
        expected: `a shape of ${sizeOf(x.shape)} elements, as [${x.shape}] has`,
        received: wanted === undefined ? `${typeof shape}, no shape` : `[${wanted}]`,
        remedy: 'Pass a shape with the same number of elements.',
      })
    return backend.alias(x, wanted)
  },
  ExpandDims: ({ input }, { dim }, backend) => {
    const rank = input.shape.length
    if ((dim as number) < -rank - 1 || (dim as number) > rank)
      throw new VqShapeError({
        operation: 'ExpandDims',
        expected: `an axis of ${-rank - 1} to ${rank}`,
        received: `${dim}`,
        remedy: 'Name a place among the axes of the tensor.',
      })
    const shape = input.shape.slice()
    shape.splice(nonNegative(dim as number, input.shape.length + 1), 0, 1)
    return backend.alias(input, shape)
  },
  Transpose: ({ x }, { perm }, backend) => transpose(backend, x, perm as number[]),
  Slice: ({ x }, { begin, size }, backend) => {
    const [b, s] = slice_util.parseSliceParams(x as never, begin as number[], size as number[])
    slice_util.assertParamsValid(x as never, b, s)
    return slice(backend, x, b, s)
  },
  StridedSlice: ({ x }, attrs, backend) => {
    const { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask } =
      attrs as Record<string, never>
    const info = slice_util.sliceInfo(
      x.shape,
      begin,
      end,
      strides,
      beginMask,
      endMask,
      ellipsisMask,
      newAxisMask,
      shrinkAxisMask,
    )
    if (info.isIdentity) return backend.alias(x, info.finalShape)
    const size = slice_util.computeOutShape(info.begin, info.end, info.strides)
    if (size.some(d => d <= 0)) return backend.allocate(info.finalShape, x.dtype)
    const out = slice(backend, x, info.begin, size, info.strides)
    return { ...out, shape: info.finalShape }
  },
  Reverse: ({ x }, { dims }, backend) => {
    const axes = new Set(util.parseAxisParam(dims as number[], x.shape))
    if (sizeOf(x.shape) === 0) return backend.allocate(x.shape, x.dtype)
    return slice(
      backend,
      x,
      x.shape.map((d, i) => (axes.has(i) ? d - 1 : 0)),
      x.shape,
      x.shape.map((_, i) => (axes.has(i) ? -1 : 1)),
    )
  },
  Concat: (inputs, { axis }, backend) => {
    const parts = Object.values(inputs)
    return concat(backend, parts, nonNegative(axis as number, parts[0].shape.length))
  },
  Pack: (inputs, { axis }, backend) => {
    const parts = Object.values(inputs)
    const odd = parts.find(p => p.dtype !== parts[0].dtype)
    if (odd !== undefined)
      throw new VqValueError({
        operation: 'Pack',
        expected: `tensors of one dtype, as the first (${parts[0].dtype})`,
        received: `one of ${odd.dtype}`,
        remedy: 'Convert them with tf.cast.',
      })
    const at = nonNegative(axis as number, parts[0].shape.length + 1)
    const expand = (shape: number[]): number[] => [...shape.slice(0, at), 1, ...shape.slice(at)]
    return concat(
      backend,
      parts.map(p => ({ ...p, shape: expand(p.shape) })),
      at,
    )
  },
  Unpack: ({ value }, { axis }, backend) => {
    const at = nonNegative(axis as number, value.shape.length)
    const shape = value.shape.filter((_, i) => i !== at)
    return split(backend, value, new Array<number>(value.shape[at]).fill(1), at).map(part => ({
      ...part,
      shape,
    }))
  },
  SplitV: ({ x }, { numOrSizeSplits, axis }, backend) => {
    const at = nonNegative(axis as number, x.shape.length)
    return split(backend, x, backend_util.prepareSplitSize(x as never, numOrSizeSplits as number[], at), at)
  },
  Tile: ({ x }, { reps }, backend) => {
    const times = reps as number[]
    const shape = x.shape.map((d, i) => d * times[i])
    const out = backend.allocate(shape, x.dtype)
    const strides = stridesOf(x.shape)
    const outStrides = stridesOf(shape)
    const views = x.shape.flatMap((d, i) => [
      { size: times[i], from: 0, to: d * outStrides[i] },
      { size: d, from: strides[i], to: outStrides[i] },
    ])
    if (sizeOf(shape) > 0)
      copy(
        backend,
        views.map(v => v.size),
        { tensor: x, offset: 0, strides: views.map(v => v.from) },
        { tensor: out, offset: 0, strides: views.map(v => v.to) },
      )
    return out
  },
  PadV2: ({ x }, { paddings, constantValue }, backend) => {
    const pads = paddings as [number, number][]
    const out = fill(
      backend,
      x.shape.map((d, i) => d + pads[i][0] + pads[i][1]),
      x.dtype,
      constantValue as number,
    )
    const strides = stridesOf(out.shape)
    const offset = pads.reduce((at, [before], i) => at + before * strides[i], 0)
    if (sizeOf(x.shape) > 0) copy(backend, x.shape, whole(x), { tensor: out, offset, strides })
    return out
  },
  GatherV2: ({ x, indices }, { axis, batchDims }, backend) => {
    const at = util.parseAxisParam(axis as number, x.shape)[0]
    const rank = indices.shape.length
    const batch = nonNegative((batchDims as number | undefined) ?? 0, rank)
    const lead = x.shape.slice(0, batch)
    const wrong = (expected: string, received: string): VqShapeError =>
      new VqShapeError({
        operation: 'GatherV2',
        expected,
        received,
        remedy: 'Give x and the indices the same leading axes.',
      })
    if (batch < 0 || batch > rank)
      throw wrong(`Expect batchDims in the range of [-${rank}, ${rank}]`, `${batchDims}`)
    if (batch > at) throw wrong(`batchDims, which must be less than or equal to axis (${at})`, `${batch}`)
    const odd = lead.findIndex((d, i) => d !== indices.shape[i])
    if (odd >= 0)
      throw wrong(
        `x.shape[${odd}]: ${x.shape[odd]}, which should be equal to indices.shape[${odd}]`,
        `${indices.shape[odd]}`,
      )
    const wanted = cast(backend, indices, 'int32')
    const shape = [...x.shape.slice(0, at), ...indices.shape.slice(batch), ...x.shape.slice(at + 1)]
    const out = backend.allocate(shape, x.dtype)
    const sizes = [
      lead,
      x.shape.slice(batch, at),
      [x.shape[at]],
      indices.shape.slice(batch),
      x.shape.slice(at + 1),
    ]
    backend.run('GatherV2', dtypeCode(x.dtype), ...sizes.map(sizeOf), x, wanted, out)
    backend.disposeData(wanted.dataId)
    return out
  },
  UnsortedSegmentSum: ({ x, segmentIds }, { numSegments }, backend) => {
    const segments = numSegments as number
    const count = sizeOf(segmentIds.shape)
    const inner = sizeOf(x.shape) / Math.max(1, count)
    const out = backend.allocate([segments, ...x.shape.slice(segmentIds.shape.length)], 'float32')
    const values = cast(backend, x, 'float32')
    backend.run(
      'SegmentSum',
      count,
      segments,
      count === 0 ? sizeOf(out.shape) / Math.max(1, segments) : inner,
      values,
      segmentIds,
      out,
    )
    backend.disposeData(values.dataId)
    const result = cast(backend, out, x.dtype)
    backend.disposeData(out.dataId)
    return result
  },
  OneHot: ({ indices }, { depth, onValue, offValue, dtype }, backend) => {
    const type = ((dtype as DataType | undefined) ?? 'int32') as DataType
    const out = backend.allocate([...indices.shape, depth as number], type)
    backend.run(
      'OneHot',
      dtypeCode(type),
      sizeOf(indices.shape),
      depth as number,
      onValue as number,
      offValue as number,
      indices,
      out,
    )
    return out
  },
  Range: (_, { start, stop, step, dtype }, backend) => {
    const [from, to] = [start as number, stop as number]
    const by = to < from && step === 1 ? -1 : (step as number)
    const count =
      from === to || (from < to && by < 0) || (to < from && by > 1)
        ? 0
        : Math.abs(Math.ceil((to - from) / by))
    const type = ((dtype as DataType | undefined) ?? 'float32') as DataType
    const out = backend.allocate([count], type)
    backend.run('Range', dtypeCode(type), count, from, by, out)
    return out
  },
}
