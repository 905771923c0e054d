import type { TensorInfo } from '@tensorflow/tfjs-core'
import type { Attributes, Inputs, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { fill } from './elementwise.js'
import { copy, slice, whole } from './movement.js'
import { expectSize, onFloats } from './windows.js'

interface Selection {
  /** As many as may be selected; those after `count` are undefined. */
  indices: TensorInfo
  scores: TensorInfo
  count: number
}

function select(backend: VqCpuBackend, { boxes, scores }: Inputs, attrs: Attributes): Selection {
  const n = scores.shape[0]
  expectSize('NonMaxSuppression', 'boxes', boxes, [n, 4])
  const most = Math.max(0, Math.min(attrs.maxOutputSize as number, n))
  const limits = [attrs.iouThreshold as number, attrs.scoreThreshold as number]
  const sigma = (attrs.softNmsSigma as number | undefined) ?? 0
  const kept = backend.allocate([most], 'float32')
  const indices = onFloats(backend, [boxes, scores], ([b, s]) => {
    const out = backend.allocate([most], 'int32')
    backend.run('NonMaxSuppression', n, most, ...limits, sigma, b, s, out, kept)
    return out
  })
  return { indices, scores: kept, count: backend.core.args[0] }
}

/** The first `count` elements; x is disposed. */
function first(backend: VqCpuBackend, x: TensorInfo, count: number): TensorInfo {
  const out = slice(backend, x, [0], [count])
  backend.disposeData(x.dataId)
  return out
}

/** Non-maximum suppression: hard, padded, and soft with scores. */
export const suppression: KernelTable = {
  NonMaxSuppressionV3: (inputs, attrs, backend) => {
    const { indices, scores, count } = select(backend, inputs, attrs)
    backend.disposeData(scores.dataId)
    return first(backend, indices, count)
  },
  NonMaxSuppressionV4: (inputs, attrs, backend) => {
    const { indices, scores, count } = select(backend, inputs, attrs)
    backend.disposeData(scores.dataId)
    const valid = fill(backend, [], 'int32', count)
    const selected = first(backend, indices, count)
    if (attrs.padToMaxOutputSize !== true) return [selected, valid]
    const most = Math.max(count, attrs.maxOutputSize as number)
    const padded = fill(backend, [most], 'int32', 0)
    if (count > 0) copy(backend, [count], whole(selected), whole(padded))
    backend.disposeData(selected.dataId)
    return [padded, valid]
  },
  NonMaxSuppressionV5: (inputs, attrs, backend) => {
    const { indices, scores, count } = select(backend, inputs, attrs)
    return [first(backend, indices, count), first(backend, scores, count)]
  },
}
