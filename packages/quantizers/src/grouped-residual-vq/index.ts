export { GroupedResidualVQ, type GroupedResidualVQOptions } from './grouped-residual-vq.js'
