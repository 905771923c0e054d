import '../backend/start.js'

export * from './adam.js'
export * from './clip.js'
export * from './gradients.js'
export * from './optimizer.js'
export * from './schedule.js'
export * from './sgd.js'
export * from './train-step.js'
