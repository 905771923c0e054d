import type { KernelTable } from '../kernel.js'
import { activation } from './activation.js'
import { attention } from './attention.js'
import { elementwise } from './elementwise.js'
import { fused } from './fused.js'
import { layerNorm } from './layer-norm.js'
import { linear } from './linear.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { quantize } from './quantize.js'
import { reductions } from './reduce.js'
import { softmax } from './softmax.js'

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...activation,
  ...attention,
  ...elementwise,
  ...fused,
  ...layerNorm,
  ...linear,
  ...movement,
  ...normalization,
  ...quantize,
  ...reductions,
  ...softmax,
}
