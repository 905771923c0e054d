export * from './adam.js'
export * from './batch-norm.js'
export * from './conv.js'

import './convolution-gradients.js'

export * from './custom-gradient.js'
export * from './detach.js'
export * from './ema-update.js'
export * from './mean-squared-error.js'
export { nearestCode } from './nearest-code.js'
export * from './no-grad.js'
