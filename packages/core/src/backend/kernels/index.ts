import type { KernelTable } from '../kernel.js'
import { convolution } from './convolution.js'
import { convolution3d } from './convolution-3d.js'
import { dilation } from './dilation.js'
import { elementwise } from './elementwise.js'
import { fused } from './fused.js'
import { image } from './image.js'
import { linear } from './linear.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { pooling } from './pooling.js'
import { quantize } from './quantize.js'
import { reductions } from './reduce.js'
import { suppression } from './suppression.js'

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...convolution,
  ...convolution3d,
  ...dilation,
  ...elementwise,
  ...fused,
  ...image,
  ...linear,
  ...movement,
  ...normalization,
  ...pooling,
  ...quantize,
  ...reductions,
  ...suppression,
}
