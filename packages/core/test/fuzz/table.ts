import type { FuzzTable } from './call.js'
import { codes } from './codes.calls.js'
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
  codes,
}
export const table: FuzzTable = Object.assign({}, ...Object.values(families)) as FuzzTable

const lacking = 'tfjs names it and registers it on none of its own backends; ours answers with a typed error'

/** Kernels without a generator. */
export const withoutGenerator: Record<string, string> = {
  BroadcastTo: lacking,
  LogicalXor: lacking,
  LowerBound: lacking,
  MatrixBandPart: lacking,
  Pool: lacking,
  UpperBound: lacking,
  Draw: 'paints on a canvas, which Node lacks; ours answers with a typed error',
}
