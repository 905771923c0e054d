import * as tf from '@tensorflow/tfjs-core'
import { detach } from '../ops/detach.js'
import { zeroOf } from './constant.js'

const { util, slice_util } = tf
type Attributes = Record<string, never>

/** dy [n] spread over an axis of `size`: element i goes to begin + i·step, all others are zero. */
function spread(dy: tf.Tensor, axis: number, size: number, begin: number, step: number): tf.Tensor {
  const n = dy.shape[axis]
  const first = step > 0 ? begin : begin + (n - 1) * step
  const stride = Math.abs(step)
  const ascending = step > 0 ? dy : tf.reverse(dy, [axis])
  const [outer, inner] = [
    util.sizeFromShape(dy.shape.slice(0, axis)),
    util.sizeFromShape(dy.shape.slice(axis + 1)),
  ]
  const gaps = tf.pad(tf.reshape(ascending, [outer, n, 1, inner]), [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ])
  const length = (n - 1) * stride + 1
  const dense = tf.slice(tf.reshape(gaps, [outer, n * stride, inner]), [0, 0, 0], [outer, length, inner])
  const placed = tf.pad(dense, [
    [0, 0],
    [first, size - first - length],
    [0, 0],
  ])
  return tf.reshape(placed, [...dy.shape.slice(0, axis), size, ...dy.shape.slice(axis + 1)])
}

function stridedSliceGradient(dy: tf.Tensor, x: tf.Tensor, attrs: Attributes): tf.Tensor {
  const { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask } = attrs
  const info = slice_util.sliceInfo(
    x.shape, begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask,
  ) // biome-ignore format: the op's own arguments
  if (util.sizeFromShape(dy.shape) === 0) return zeroOf(x)
  if (info.isIdentity) return tf.reshape(dy, x.shape)
  let dx = tf.reshape(dy, slice_util.computeOutShape(info.begin, info.end, info.strides))
  for (const [axis, size] of x.shape.entries())
    if (dx.shape[axis] !== size || info.strides[axis] !== 1)
      dx = spread(dx, axis, size, info.begin[axis], info.strides[axis])
  return dx
}

function depthToSpaceGradient(dy: tf.Tensor, block: number, dataFormat: string): tf.Tensor {
  const s = block
  if (dataFormat === 'NCHW') {
    const [b, c, h, w] = dy.shape
    const blocks = tf.reshape(dy, [b, c, h / s, s, w / s, s])
    return tf.reshape(tf.transpose(blocks, [0, 3, 5, 1, 2, 4]), [b, c * s * s, h / s, w / s])
  }
  const [b, h, w, c] = dy.shape
  const blocks = tf.reshape(dy, [b, h / s, s, w / s, s, c])
  return tf.reshape(tf.transpose(blocks, [0, 1, 3, 2, 4, 5]), [b, h / s, w / s, c * s * s])
}

/** dy [..., k] added to the places in each row of x that `indices` [..., k] names. */
function topKGradient(dy: tf.Tensor, x: tf.Tensor, indices: tf.Tensor): tf.Tensor {
  const columns = x.shape[x.shape.length - 1]
  const k = indices.shape[indices.shape.length - 1]
  const size = util.sizeFromShape(x.shape)
  if (k === 0 || size === 0) return zeroOf(x)
  const rows = tf.reshape(tf.range(0, size, columns, 'int32'), [-1, 1])
  const flat = tf.add(rows, tf.reshape(indices, [-1, k]))
  const values = tf.scatterND(tf.reshape(flat, [-1, 1]), tf.reshape(dy, [-1]), [size])
  return tf.reshape(values, x.shape)
}

// tfjs's own serves one batch axis at most, by chained ops that Node's build lacks.
function gatherGradient(dy: tf.Tensor, x: tf.Tensor, indices: tf.Tensor, attrs: Attributes): tf.Tensor {
  const axis = util.parseAxisParam((attrs.axis as number | undefined) ?? 0, x.shape)[0]
  const given = (attrs.batchDims as number | undefined) ?? 0
  const batchDims = given < 0 ? given + indices.shape.length : given
  const size = (from: number, to?: number): number => util.sizeFromShape(x.shape.slice(from, to))
  const [batch, outer, length, inner] = [
    size(0, batchDims),
    size(batchDims, axis),
    x.shape[axis],
    size(axis + 1),
  ]
  const count = util.sizeFromShape(indices.shape.slice(batchDims))
  if (batch * outer * inner * count === 0) return zeroOf(x)
  const rows = tf.transpose(tf.reshape(dy, [batch, outer, count, inner]), [0, 2, 1, 3])
  const starts = tf.reshape(tf.range(0, batch * length, length, 'int32'), [batch, 1])
  const segments = tf.reshape(tf.add(tf.reshape(tf.cast(indices, 'int32'), [batch, count]), starts), [-1])
  const sums = tf.unsortedSegmentSum(
    tf.reshape(rows, [batch * count, outer * inner]),
    // They may depend on x, as positions do; the sums' own gradient knows none by segments.
    detach(segments) as tf.Tensor1D,
    batch * length,
  )
  const turned = tf.transpose(tf.reshape(sums, [batch, length, outer, inner]), [0, 2, 1, 3])
  return tf.reshape(turned, x.shape)
}

/** Registers gradients of kernels that move elements. */
export function registerMovementGradients(): void {
  tf.registerGradient({
    kernelName: 'StridedSlice',
    inputsToSave: ['x'],
    gradFunc: (dy, [x], attrs) => ({
      x: () => stridedSliceGradient(dy as tf.Tensor, x, attrs as unknown as Attributes),
    }),
  })
  tf.registerGradient({
    kernelName: 'DepthToSpace',
    gradFunc: (dy, _, attrs) => ({
      x: () => depthToSpaceGradient(dy as tf.Tensor, attrs.blockSize as number, attrs.dataFormat as string),
    }),
  })
  tf.registerGradient({
    kernelName: 'TopK',
    inputsToSave: ['x'],
    outputsToSave: [false, true],
    gradFunc: (dys, [x, indices]) => ({ x: () => topKGradient((dys as tf.Tensor[])[0], x, indices) }),
  })
  tf.registerGradient({
    kernelName: 'GatherNd',
    inputsToSave: ['params', 'indices'],
    gradFunc: (dy, [params, indices]) => ({
      params: () => tf.scatterND(tf.cast(indices, 'int32'), dy as tf.Tensor, params.shape),
      indices: () => zeroOf(indices),
    }),
  })
  // Second order of the two above.
  tf.registerGradient({
    kernelName: 'ScatterNd',
    inputsToSave: ['indices', 'updates'],
    gradFunc: (dy, [indices]) => ({
      indices: () => zeroOf(indices),
      updates: () => tf.gatherND(dy as tf.Tensor, detach(indices)),
    }),
  })
  tf.registerGradient({
    kernelName: 'GatherV2',
    inputsToSave: ['x', 'indices'],
    gradFunc: (dy, [x, indices], attrs) => ({
      x: () => gatherGradient(dy as tf.Tensor, x, indices, attrs as unknown as Attributes),
      indices: () => zeroOf(indices),
    }),
  })
}
