import type { KernelTable } from '../kernel.js'
import { activation } from './activation.js'
import { attention } from './attention.js'
import { elementwise } from './elementwise.js'
import { embedding } from './embedding.js'
import { fused } from './fused.js'
import { groupNorm } from './group-norm.js'
import { layerNorm } from './layer-norm.js'
import { linear } from './linear.js'
import { lstm } from './lstm.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { quantize } from './quantize.js'
import { randomKernels } from './random.js'
import { reductions } from './reduce.js'
import { softmax } from './softmax.js'

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...activation,
  ...attention,
  ...elementwise,
  ...embedding,
  ...fused,
  ...groupNorm,
  ...layerNorm,
  ...linear,
  ...lstm,
  ...movement,
  ...normalization,
  ...quantize,
  ...randomKernels,
  ...reductions,
  ...softmax,
}
