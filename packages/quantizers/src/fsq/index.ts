export { FSQ, type FSQOptions } from './fsq.js'
export { fsqLevels } from './fsq-levels.js'
export { ResidualFSQ, type ResidualFSQOptions } from './residual-fsq.js'
