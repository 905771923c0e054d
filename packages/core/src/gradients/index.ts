// Gradients that tfjs-core lacks, of tfjs ops, so for every backend.
import { registerConstantGradients } from './constant.js'
import { registerCumulativeGradients } from './cumulative.js'
import { registerEinsumGradient } from './einsum.js'
import { registerMovementGradients } from './movement.js'

registerConstantGradients()
registerCumulativeGradients()
registerEinsumGradient()
registerMovementGradients()
