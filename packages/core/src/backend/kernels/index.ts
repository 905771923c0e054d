import type { KernelTable } from '../kernel.js'
import { attention } from './attention.js'
import { blocks } from './blocks.js'
import { codes } from './codes.js'
import { complex, overParts } from './complex.js'
import { convolution } from './convolution.js'
import { convolution3d } from './convolution-3d.js'
import { decoder } from './decoder.js'
import { dilation } from './dilation.js'
import { einsums } from './einsum.js'
import { elementwise } from './elementwise.js'
import { embedding } from './embedding.js'
import { fused } from './fused.js'
import { groupNorm } from './group-norm.js'
import { image } from './image.js'
import { layerNorm } from './layer-norm.js'
import { linear } from './linear.js'
import { linearLayer } from './linear-layer.js'
import { lstm } from './lstm.js'
import { movement } from './movement.js'
import { normalization } from './normalization.js'
import { order } from './order.js'
import { pooling } from './pooling.js'
import { quantize } from './quantize.js'
import { ragged } from './ragged.js'
import { randomKernels } from './random.js'
import { reductions } from './reduce.js'
import { scatters } from './scatter.js'
import { softmax } from './softmax.js'
import { sparse } from './sparse.js'
import { overStrings, strings } from './strings.js'
import { suppression } from './suppression.js'

const numeric: KernelTable = {
  ...attention,
  ...embedding,
  ...groupNorm,
  ...layerNorm,
  ...linearLayer,
  ...lstm,
  ...randomKernels,
  ...softmax,
  ...convolution,
  ...convolution3d,
  ...decoder,
  ...dilation,
  ...blocks,
  ...codes,
  ...complex,
  ...einsums,
  ...elementwise,
  ...fused,
  ...image,
  ...linear,
  ...movement,
  ...normalization,
  ...pooling,
  ...order,
  ...quantize,
  ...ragged,
  ...reductions,
  ...suppression,
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
