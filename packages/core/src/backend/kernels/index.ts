import type { KernelTable } from '../kernel.js'
import { elementwise } from './elementwise.js'
import { fused } from './fused.js'
import { linear } from './linear.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { quantize } from './quantize.js'
import { reductions } from './reduce.js'

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...elementwise,
  ...fused,
  ...linear,
  ...movement,
  ...normalization,
  ...quantize,
  ...reductions,
}
