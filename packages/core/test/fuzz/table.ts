import type { FuzzTable } from './call.js'
import { data } from './data.calls.js'
import { elementwise } from './elementwise.calls.js'
import { fused } from './fused.calls.js'
import { image } from './image.calls.js'
import { linear } from './linear.calls.js'
import { movement } from './movement.calls.js'
import { reductions } from './reduce.calls.js'
import { windows } from './windows.calls.js'

export const families: Record<string, FuzzTable> = {
  elementwise,
  movement,
  reductions,
  windows,
  image,
  data,
  linear,
  fused,
}
export const table: FuzzTable = Object.assign({}, ...Object.values(families)) as FuzzTable

const lacking = 'tfjs names it and registers it on none of its own backends; ours answers with a typed error'

/** Kernels without a generator. */
// Malformed calls of these are not fuzzed yet.
const ownTests = 'tfjs has no such kernel; its own tests compare it with float64 and with the other backends'

export const withoutGenerator: Record<string, string> = {
  BroadcastTo: lacking,
  LogicalXor: lacking,
  LowerBound: lacking,
  MatrixBandPart: lacking,
  Pool: lacking,
  UpperBound: lacking,
  VqEstimatorGradient: ownTests,
  VqFsqBound: ownTests,
  VqFsqDecode: ownTests,
  VqFsqEncode: ownTests,
  VqFsqGrad: ownTests,
  VqGumbelSoftmax: ownTests,
  VqGumbelSoftmaxGrad: ownTests,
  VqLfqDecode: ownTests,
  VqLfqEncode: ownTests,
  VqLfqEntropy: ownTests,
  VqLfqEntropyGrad: ownTests,
  VqOrderedLinear: ownTests,
  Draw: 'paints on a canvas, which Node lacks; ours answers with a typed error',
}
