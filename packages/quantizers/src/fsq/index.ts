export { FSQ, type FSQOptions } from './fsq.js'
export { ResidualFSQ, type ResidualFSQOptions } from './residual-fsq.js'
