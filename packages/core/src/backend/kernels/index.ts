import type { KernelTable } from '../kernel.js'
import { blocks } from './blocks.js'
import { complex, overParts } from './complex.js'
import { einsums } from './einsum.js'
import { elementwise } from './elementwise.js'
import { fused } from './fused.js'
import { linear } from './linear.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { order } from './order.js'
import { quantize } from './quantize.js'
import { ragged } from './ragged.js'
import { reductions } from './reduce.js'
import { scatters } from './scatter.js'
import { sparse } from './sparse.js'
import { overStrings, strings } from './strings.js'

const numeric: KernelTable = {
  ...blocks,
  ...complex,
  ...einsums,
  ...elementwise,
  ...fused,
  ...linear,
  ...movement,
  ...normalization,
  ...order,
  ...quantize,
  ...ragged,
  ...reductions,
  ...scatters,
  ...sparse,
}

// What moves elements moves complex numbers and strings as well.
const moving = [
  'Concat', 'GatherNd', 'GatherV2', 'MirrorPad', 'Pack', 'PadV2', 'Reverse', 'Select', 'Slice', 'SpaceToBatchND',
  'BatchToSpaceND', 'DepthToSpace', 'SplitV', 'StridedSlice', 'Tile', 'Transpose', 'Unpack',
] // biome-ignore format: a list
const ofParts = [...moving, 'Neg', 'ScatterNd', 'Sum', 'ZerosLike']
const ofStrings = [
  ...moving,
  'Equal',
  'NotEqual',
  'Greater',
  'GreaterEqual',
  'Less',
  'LessEqual',
  'SparseToDense',
  'TensorScatterUpdate',
]

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...numeric,
  ...Object.fromEntries(ofParts.map(name => [name, overParts(numeric[name])])),
  ...strings,
}
for (const name of ofStrings) kernels[name] = overStrings(kernels[name])
kernels.Unique = overStrings(kernels.Unique, 1)
