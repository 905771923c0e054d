// Suites of promises that a user's own class can be run through, with any test runner or none.
import '../backend/start.js'

export * from './backbone.js'
export { type ContractCheck, runContract } from './contract.js'
export * from './dataset.js'
export * from './decoder.js'
export * from './encoder.js'
export { type ModuleContractOptions, moduleContract } from './module.js'
export * from './quantizer.js'
